import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runInNewContext } from 'node:vm'
import { InstrumentType } from '@opentelemetry/sdk-metrics'
import { pino as realPino } from 'pino'
import type { GateEvent } from '../../src/index.ts'
import { instrument } from '../../src/opentelemetry.ts'
import { doEverything } from './everything.ts'
import { createSdk } from './recorded.ts'
import { createWorld } from './world.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const page = readFileSync(join(root, 'docs/observability.md'), 'utf8')

/** The cells of the table whose first column has this head. */
function table(head: string, columns: number): string[][] {
  const [, body = ''] = page.split(new RegExp(`^\\| ${head} +\\|.*\\n\\|[ |:-]+\\n`, 'm'))
  const rows = body.slice(0, body.search(/^(?!\|)/m)).trim()
  return rows.split('\n').map((row) =>
    row
      .split('|')
      .slice(1, columns + 1)
      .map((cell) => cell.trim()),
  )
}

const words = (cell = ''): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word)

/** The code block that holds this text. */
function snippet(holds: string): string {
  const found = [...page.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code)
  const [code, ...others] = found.filter((one) => one.includes(holds))
  assert.ok(code !== undefined && others.length === 0, `one block with ${holds}`)
  return code
}

const TYPES = {
  accepted: true,
  refused: true,
  aborted: true,
  ended: true,
  renewed: true,
  rechecked: true,
  revoked: true,
  ticket: true,
  cluster: true,
  warning: true,
} as const satisfies Record<GateEvent['type'], true>

it('the table of events has every event, every field, and no other; so do the channels', async () => {
  await using world = await createWorld()
  const events: GateEvent[] = []
  const published: unknown[] = []
  const channels = [...new Set([...page.matchAll(/`(gate101:[a-z]+)`/g)].map(([, name = '']) => name))]
  assert.deepEqual(
    channels.toSorted(),
    Object.keys(TYPES)
      .map((type) => `gate101:${type}`)
      .toSorted(),
  )
  const listen = (event: unknown): unknown => published.push(event)
  for (const channel of channels) subscribe(channel, listen)
  world.gate.on('*', (event) => events.push(event))
  await doEverything(world)
  for (const channel of channels) unsubscribe(channel, listen)
  assert.deepEqual(published, events)
  const rows = table('event', 3)
  assert.deepEqual(rows.map(([type]) => words(type)[0]).toSorted(), Object.keys(TYPES).toSorted())
  for (const [type, , fields] of rows) {
    const documented = words(fields)
    const seen = events.filter((event) => event.type === words(type)[0])
    const namesOf = (event: object): string[] =>
      Object.entries(event)
        .filter(([name, value]) => value !== undefined && name !== 'type' && name !== 'time')
        .map(([name]) => name)
    const always = documented.filter((name) => !name.endsWith('?'))
    const all = documented.map((name) => name.replace('?', ''))
    assert.ok(seen.length > 0, type)
    const union = new Set(seen.flatMap(namesOf))
    assert.deepEqual([...union].toSorted(), all.toSorted(), type)
    for (const event of seen) {
      const missing = always.filter((name) => !namesOf(event).includes(name))
      assert.deepEqual(missing, [], type)
    }
  }
  const explained = new Set(table('field', 1).flatMap(([cell]) => words(cell)))
  const fields = rows.filter(([type]) => type !== '`warning`').flatMap(([, , cell]) => words(cell))
  assert.deepEqual([...explained].toSorted(), [...new Set(fields.map((name) => name.replace('?', '')))].toSorted())
})

it('the line for pino writes one line for each event, without a secret or a session id', async () => {
  await using world = await createWorld()
  const lines: string[] = []
  const sink = { write: (line: string): unknown => lines.push(line) }
  const pino = Object.assign((options: object) => realPino(options, sink), realPino)
  let count = 0
  world.gate.on('*', () => (count += 1))
  const code = snippet('pino(').replace(/^import .*\n/m, '')
  runInNewContext(code, { pino, gate: world.gate })
  const secrets = await doEverything(world)
  assert.ok(count > 12)
  assert.equal(lines.length, count)
  const text = lines.join('')
  for (const secret of secrets) assert.equal(text.includes(secret), false, `${secret} in ${text}`)
  const logged = lines.map((line) => JSON.parse(line))
  for (const type of Object.keys(TYPES)) assert.ok(logged.some(({ msg, type: said }) => msg === type && said === type))
  assert.ok(lines.every((line) => line.split('"time":').length === 2))
  assert.ok(
    logged.some(({ cause }) => cause?.message === 'the store is away' && cause.stack.includes('doEverything')),
    'what was thrown is there',
  )
  const sessions = new Set(logged.filter(({ session }) => session !== undefined).map(({ session }) => session))
  assert.equal(sessions.size, 1, 'the same for the same session')
})

const KINDS: Readonly<Partial<Record<InstrumentType, string>>> = {
  [InstrumentType.COUNTER]: 'counter',
  [InstrumentType.HISTOGRAM]: 'histogram',
  [InstrumentType.UP_DOWN_COUNTER]: 'up-down counter',
}

it('the tables of metrics and spans are what is recorded', async () => {
  await using world = await createWorld()
  await using sdk = createSdk()
  instrument(world.gate, sdk.providers)
  await doEverything(world)
  const recorded = (await sdk.metrics()).map(({ descriptor, dataPoints }) => {
    const labels = new Set(dataPoints.flatMap(({ attributes }) => Object.keys(attributes)))
    // The SDK's own data say so; its public types do not.
    const { type } = descriptor as typeof descriptor & { type: InstrumentType }
    return [descriptor.name, KINDS[type], descriptor.unit, [...labels].toSorted()]
  })
  const rows = table('metric', 4).map(([name, kind, unit, labels]) => [
    words(name)[0],
    kind,
    words(unit)[0],
    words(labels).toSorted(),
  ])
  assert.deepEqual(recorded, rows)
  const labels = new Set(recorded.flatMap(([, , , names]) => names))
  assert.deepEqual(
    table('label', 1)
      .flatMap(([name]) => words(name))
      .toSorted(),
    [...labels].toSorted(),
  )
  const spans = attributesByName(sdk.spans())
  assert.deepEqual(
    table('span', 2).map(([name, attributes]) => [words(name)[0], words(attributes).toSorted()]),
    [...spans].map(([name, attributes]) => [name, [...attributes].toSorted()]),
  )
})

function attributesByName(
  spans: ReadonlyArray<{ readonly name: string; readonly attributes: object }>,
): Map<string, Set<string>> {
  const names = new Map<string, Set<string>>()
  for (const { name, attributes } of spans) {
    names.set(name, new Set([...(names.get(name) ?? []), ...Object.keys(attributes)]))
  }
  return names
}

const APP = `
import { createServer } from 'node:http'
import { createGate } from 'gate101'

export const gate = createGate({ identify: () => ({ subject: 'ann' }) })
export const server = createServer((req, res) => {
  if (req.headers['x-api-key'] === 'k') gate.websocket(() => undefined)(req, res)
  else res.writeHead(401).end()
})
gate.attach(server)
`

const MAIN = `
import { once } from 'node:events'
import { metrics, trace } from '@opentelemetry/api'
import { WebSocket } from 'ws'
import { server } from './app.ts'
import './telemetry.ts'

server.listen(0, '127.0.0.1')
await once(server, 'listening')
const url = 'ws://127.0.0.1:' + server.address().port
const ws = new WebSocket(url, { headers: { 'X-Api-Key': 'k' } })
await once(ws, 'open')
const refused = new WebSocket(url)
refused.on('error', () => undefined)
await new Promise((resolve) => refused.on('close', resolve))
await metrics.getMeterProvider().forceFlush()
await trace.getTracerProvider().getDelegate().forceFlush()
process.exit()
`

it('the OpenTelemetry snippet runs as it stands, and exports', () => {
  mkdirSync(join(root, '.cache'), { recursive: true })
  const folder = mkdtempSync(join(root, '.cache', 'telemetry-'))
  try {
    const files = { 'app.ts': APP, 'telemetry.ts': snippet('ConsoleMetricExporter'), 'main.ts': MAIN }
    for (const [name, text] of Object.entries(files)) {
      const to = (entry: string): string => `'${relative(dirname(join(folder, name)), join(root, 'src', entry))}'`
      const code = text.replace(`'gate101'`, to('index.ts')).replace(`'gate101/opentelemetry'`, to('opentelemetry.ts'))
      writeFileSync(join(folder, name), code)
    }
    const args = ['--import', 'tsx', join(folder, 'main.ts')]
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      cwd: root,
      encoding: 'utf8',
      timeout: 180_000,
    })
    assert.deepEqual([status, stderr], [0, ''])
    for (const said of [/ws_auth_handshakes/, /reason: 'app'/, /websocket handshake/]) assert.match(stdout, said)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
