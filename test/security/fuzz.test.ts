import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createPathMatch, checkTarget } from '../../src/handshake/target.ts'
import { connectRaw, handshakeText } from '../support/raw.ts'
import { listen } from '../support/servers.ts'
import { trapFaults } from '../support/trap.ts'
import { APPS, KEY } from './apps.ts'

const RUNS = Number(process.env['GATE101_FUZZ_RUNS'] ?? 150)

type Line = readonly [name: string, value: string]

const oneOf = (...values: readonly string[]): fc.Arbitrary<string> => fc.constantFrom(...values)

const method = fc.oneof({ weight: 6, arbitrary: fc.constant('GET') }, oneOf('POST', 'HEAD', 'OPTIONS', 'get', 'PRI'))
const version = fc.oneof({ weight: 8, arbitrary: fc.constant('HTTP/1.1') }, oneOf('HTTP/1.0', 'HTTP/2.0', 'HTTP/1.01'))
const target = fc.oneof(
  { weight: 4, arbitrary: fc.constant('/ws') },
  oneOf('//ws', '/ws/', '/WS', '/%77s', '/x/../ws', '/ws;a', '/ws?x', '/ws#x', 'http://localhost/ws', '*', '/\\ws'),
  fc.string({ unit: fc.constantFrom(...'/ws%.;?#\\:@[]2fF5cE'.split('')), maxLength: 12 }).map((path) => `/${path}`),
)

const OWN: readonly Line[] = [
  ['Host', 'localhost'],
  ['Upgrade', 'websocket'],
  ['Connection', 'Upgrade'],
  ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='],
  ['Sec-WebSocket-Version', '13'],
]

/** One header of the handshake, as it may come: left out, twice, in another case, with another value. */
function mutated([name, value]: Line): fc.Arbitrary<readonly Line[]> {
  return fc.oneof(
    { weight: 30, arbitrary: fc.constant([[name, value]] as const) },
    fc.constant([]),
    fc.constant([
      [name, value],
      [name, value],
    ] as const),
    oneOf(name.toLowerCase(), name.toUpperCase()).map((other) => [[other, value]] as const),
    oneOf('', 'x', `${value}, ${value}`, ` ${value}\t`, `${value},h2c`, value.toUpperCase(), '8', 'close').map(
      (other) => [[name, other]] as const,
    ),
  )
}

const key = fc.oneof(
  fc.constant([] as const),
  oneOf(KEY, 'wrong', '', ` ${KEY} `, `${KEY}, wrong`, KEY.toUpperCase()).map(
    (value) => [['X-Api-Key', value]] as const,
  ),
  fc.constant([
    ['X-Api-Key', KEY],
    ['X-Api-Key', 'wrong'],
  ] as const),
  fc.constant([['X_Api_Key', KEY]] as const),
)

const extra: fc.Arbitrary<Line> = fc.tuple(
  oneOf('Origin', 'Cookie', 'Expect', 'Content-Length', 'Sec-Fetch-Site', 'Sec-WebSocket-Protocol', '__proto__', 'Via'),
  oneOf(
    '',
    '0',
    '5',
    'null',
    'http://localhost',
    'https://evil.example',
    '100-continue',
    'cross-site',
    'a, a',
    'sid=1',
  ),
)

const request = fc
  .tuple(
    method,
    target,
    version,
    fc.tuple(...OWN.map(mutated)).map((parts) => parts.flat()),
    key,
    fc.array(extra, { maxLength: 3 }),
  )
  .chain(([verb, path, http, own, keys, extras]) =>
    fc
      .shuffledSubarray([...own, ...keys, ...extras], { minLength: own.length + keys.length + extras.length })
      .map((lines) => ({ first: `${verb} ${path} ${http}`, lines })),
  )

/** Of the first answer that is not interim; the answer to a HEAD has no body to wait for. */
function statusOf(bytes: Buffer): number | undefined {
  const all = [...bytes.toString('latin1').matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map(([, status]) => Number(status))
  return all.find((status) => status === 101 || status >= 200)
}

describe('whatever is sent, 101 means that the guard let exactly this request in', () => {
  for (const [name, make] of Object.entries(APPS)) {
    it(name, async () => {
      const trap = trapFaults()
      const let_in = new Set<string>()
      const { server, gate } = await make(async (req) => {
        if (req.headers['x-api-key'] === KEY) let_in.add(String(req.headers['x-nonce']))
      })
      await using listening = await listen(server)
      let nonce = 0
      let opened = 0
      await fc.assert(
        fc.asyncProperty(request, async ({ first, lines }) => {
          const id = String(++nonce)
          await using connection = await connectRaw(listening)
          const all = [...lines, ['X-Nonce', id]].map(([field, value]) => `${field}: ${value}`)
          // A plain request that promises a body gets it: a framework may wait for it before it answers.
          const body = lines.some(([field, value]) => field === 'Content-Length' && value === '5') ? 'hello' : ''
          connection.send(`${[first, ...all].join('\r\n')}\r\n\r\n${body}`)
          const status = await connection.until((bytes, ended) => statusOf(bytes) ?? (ended ? 0 : undefined))
          if (status !== 101) return
          opened += 1
          assert.ok(let_in.has(id), `${first}\n${all.join('\n')}`)
          assert.deepEqual(
            lines.filter(([field]) => field === 'X-Api-Key').map(([, value]) => value.trim()),
            [KEY],
          )
        }),
        { numRuns: RUNS, examples: [[{ first: 'GET /ws HTTP/1.1', lines: [...OWN, ['X-Api-Key', KEY]] }]] },
      )
      await using control = await connectRaw(listening)
      control.send(handshakeText({ headers: { 'X-Api-Key': KEY, 'X-Nonce': 'control' } }))
      assert.equal((await control.response()).status, 101)
      assert.ok(opened > 0, 'some of them were good')
      control.destroy()
      await listening.noneOpen()
      assert.equal(gate.connections.size, 0)
      await trap.assertNone()
    })
  }
})

const anyTarget = fc.string({
  unit: fc.constantFrom(...'/\\.%;#?@:[]wsWS 2eEfF05c\u0080\u00ff\t'.split('')),
  maxLength: 24,
})

describe('what is asked about a target', () => {
  it('never throws, and what passes has one reading', () => {
    const holds = createPathMatch(['/ws'])
    fc.assert(
      fc.property(anyTarget, (path) => {
        for (const one of [path, `/${path}`, `/ws${path}`]) {
          const held = holds(one)
          if (checkTarget(one) !== undefined) continue
          const { pathname, host } = new URL(one, 'http://base.example')
          assert.equal(host, 'base.example')
          assert.equal(pathname, one.split('?')[0], one)
          if (decodeURIComponent(pathname) === '/ws') assert.ok(held, one)
        }
      }),
      { numRuns: 5000 },
    )
  })
})
