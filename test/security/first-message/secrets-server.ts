// A server process of its own: what it prints is everything that it emits, and its heap holds nothing of a client.
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import { inspect } from 'node:util'
import { setFlagsFromString, writeHeapSnapshot } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { WebSocketServer } from 'ws'
import { createGate } from '../../../src/index.ts'
import { listen } from '../../support/servers.ts'
import { make, NO, record, STACK_NAMES, type Guard } from './support.ts'

const digests = new Set((process.env['DIGESTS'] ?? '').split(','))

/** Knows passwords and tokens by their digest alone. */
const guard: Guard = (authorization, req) => {
  if (req?.headers.cookie === 'sid=ann') return 'ann'
  const [scheme, value = ''] = (authorization ?? '').split(' ')
  if (scheme === 'Bearer') return isKnown(value) ? 'ann' : NO
  if (scheme !== 'Basic') return NO
  const [username = '', password = ''] = Buffer.from(value, 'base64').toString().split(':')
  if (username === 'breaks') throw new Error('the app is broken')
  if (username === 'hangs') return new Promise(() => undefined)
  return isKnown(password) ? username : NO
}

function isKnown(secret: string): boolean {
  return digests.has(createHash('sha256').update(secret).digest('hex'))
}

/** An app may keep what it was called with. */
const kept: unknown[] = []

const ports: Record<string, number> = {}
for (const stack of STACK_NAMES) {
  const made = await make(stack, {
    guard,
    limits: { deadline: 300 },
    handler: (socket, ...context) => {
      // Hono's context copies the headers before anybody can take something out of them.
      kept.push(socket, stack === 'Hono' ? undefined : context)
      socket.on('message', () => undefined)
    },
  })
  show(made.gate)
  ports[stack] = (await listen(made.server)).port
}
for (const [name, toHeaders] of [
  ['toHeaders', (text: string | Uint8Array) => JSON.parse(String(text)) as Record<string, string>],
  ['library', undefined],
] as const) {
  const server = createServer()
  const wss = new WebSocketServer({ noServer: true })
  wss.on('connection', (ws, req) => kept.push(ws, req))
  const gate = createGate({
    identify: () => ({ subject: 'ann' }),
    firstMessage: { paths: ['/ws'], ...(toHeaders === undefined ? {} : { toHeaders }) },
  })
  const route = gate.accept(wss)
  server.on('request', async (req, res) => {
    const said = await guard(req.headers.authorization, req)
    if (typeof said === 'string') await route(req, res)
    else res.writeHead(401).end()
  })
  gate.attach(server)
  show(gate as never)
  ports[name] = (await listen(server)).port
}

function show(gate: Parameters<typeof record>[0] & { connections: Iterable<unknown> }): void {
  const { events } = record(gate)
  setInterval(() => {
    for (const event of events.splice(0)) {
      console.log(inspect(event, { depth: 20, showHidden: true }), JSON.stringify(event))
      if ('cause' in event) console.log(inspect(event.cause, { depth: 20, showHidden: true }), String(event.cause))
    }
    for (const connection of gate.connections)
      console.log(inspect(connection, { depth: 20 }), JSON.stringify(connection))
  }, 50).unref()
}

process.on('message', async (file: string) => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  for (let n = 0; n < 5; n++) {
    gc()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  process.send?.({ file: writeHeapSnapshot(file), kept: kept.length })
})
process.send?.(ports)
