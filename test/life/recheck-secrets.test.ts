import assert from 'node:assert/strict'
import { fork, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { WebSocket } from 'ws'

const PASSWORD = 'password-Kx82-jellyfish'
/** Given, and refused. */
const WRONG = 'password-Hb65-catfish'
/** Of connections that are asked about again: it must be kept, and is the control. */
const KEPT = 'token-Qd47-cuttlefish'
const KEPT_COOKIE = 'session-Rt31-starfish'
/** Of connections that have ended, and of gates that ask nobody, or their own function. */
const ENDED = 'token-Vu93-barnacle'
const UNASKED = 'token-Ws56-anemone'
const CHECKED = 'token-Yp28-nautilus'
const STACKS = ['Express', 'Koa', 'Fastify', 'Hono', 'schemes']

let child: ChildProcess
let ports: Readonly<Record<string, number>> = {}
const open: WebSocket[] = []

before(async () => {
  const digest = (secret: string): string => createHash('sha256').update(secret).digest('hex')
  child = fork(new URL(import.meta.resolve('./recheck-secrets-server.ts')), {
    execArgv: ['--import', 'tsx'],
    env: { ...process.env, DIGESTS: [PASSWORD, KEPT, KEPT_COOKIE, ENDED, UNASKED, CHECKED].map(digest).join() },
  })
  ;[ports] = (await once(child, 'message')) as [Record<string, number>]
})
after(() => {
  for (const ws of open) ws.terminate()
  child.kill()
})

/** @returns the status of the handshake. */
async function dial(name: string, headers: Readonly<Record<string, string>>): Promise<WebSocket | number> {
  const ws = new WebSocket(`ws://127.0.0.1:${ports[name]}/ws`, { headers })
  ws.on('error', () => undefined)
  const refused = once(ws, 'unexpected-response').then(([request, response]) => {
    request.destroy()
    return response.statusCode as number
  })
  refused.catch(() => undefined)
  return await Promise.race([once(ws, 'open').then(() => ws), refused])
}

async function opened(name: string, headers: Readonly<Record<string, string>>): Promise<WebSocket> {
  const ws = await dial(name, headers)
  assert.ok(ws instanceof WebSocket, `${name}: ${String(ws)}`)
  open.push(ws)
  return ws
}

const basicOf = (password: string): Record<string, string> => ({
  Authorization: `Basic ${Buffer.from(`alice:${password}`).toString('base64')}`,
})
const bearerOf = (token: string): Record<string, string> => ({ Authorization: `Bearer ${token}` })

/** A secret as it is, and in every way in which base64 can hold it behind a name and a colon. */
function spellings(secret: string): string[] {
  const encoded = ['', 'a', 'ab'].map((prefix) =>
    Buffer.from(prefix + secret)
      .toString('base64')
      .slice(prefix.length === 0 ? 0 : 4, -4),
  )
  return [secret, Buffer.from(secret).toString('hex'), ...encoded]
}

const holds = (heap: Buffer, secret: string): boolean => spellings(secret).some((spelling) => heap.includes(spelling))

async function snapshot(): Promise<{ heap: Buffer; rechecked: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'gate101-'))
  try {
    const answer = once(child, 'message') as Promise<[{ file: string; rechecked: number }]>
    child.send(join(folder, 'heap.heapsnapshot'))
    const [{ file, rechecked }] = await answer
    return { heap: await readFile(file), rechecked }
  } finally {
    await rm(folder, { recursive: true })
  }
}

test('what is asked with again is in memory for as long as that; passwords never are', async () => {
  for (const name of STACKS) {
    await opened(name, basicOf(PASSWORD))
    assert.equal(await dial(name, basicOf(WRONG)), 401)
    const ended = await opened(name, bearerOf(ENDED))
    ended.close()
    await once(ended, 'close')
  }
  await opened('Express', bearerOf(KEPT))
  await opened('Express', { Cookie: `sid=${KEPT_COOKIE}`, Origin: `http://127.0.0.1:${ports['Express']}` })
  for (const name of ['off', 'check']) await opened(name, basicOf(PASSWORD))
  await opened('off', bearerOf(UNASKED))
  await opened('check', bearerOf(CHECKED))
  // Node may hold on to the last request of each server: let that be another.
  for (const name of Object.keys(ports)) for (let n = 0; n < 3; n++) await dial(name, bearerOf(`another-${n}`))

  const { heap, rechecked } = await snapshot()
  assert.ok(open.every((ws) => ws.readyState === ws.OPEN || ws.readyState === ws.CLOSED))
  assert.equal(open.filter((ws) => ws.readyState === ws.OPEN).length, STACKS.length + 6)
  assert.ok(rechecked > 0, 'nobody was asked')
  const found = { KEPT, KEPT_COOKIE, PASSWORD, WRONG, ENDED, UNASKED, CHECKED }
  assert.deepEqual(
    Object.entries(found).flatMap(([name, secret]) => (holds(heap, secret) ? [name] : [])),
    ['KEPT', 'KEPT_COOKIE'],
  )
})
