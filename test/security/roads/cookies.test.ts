import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { networkInterfaces } from 'node:os'
import { after, before, describe, it } from 'node:test'
import { createGate, type GateOptions } from '../../../src/index.ts'
import { handshake, rawRequest } from '../../support/raw.ts'
import { listen } from '../../support/servers.ts'
import { trapFaults } from '../../support/trap.ts'
import { API_KEYS, expressApp, fastifyApp, koaApp, type Build } from './apps.ts'
import { codeOf, ORIGIN, serve, type Headers } from './support.ts'

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

const APPS: ReadonlyArray<readonly [name: string, build: Build]> = [
  ['Express', expressApp],
  ['Koa', koaApp],
  ['Fastify', fastifyApp],
]

for (const [name, build] of APPS) {
  describe(`cookies on ${name}`, () => {
    it('one that decides about access may come once', async () => {
      await using served = await serve(build, { sessionCookies: ['sid', 'auth'] })
      const sid = await served.login('alice')
      const tab = '\t'
      const rows: ReadonlyArray<readonly [cookie: string | readonly string[], open: boolean]> = [
        [sid, true],
        [`theme=dark; ${sid}; theme=light`, true],
        [`SID=other; ${sid}; sid2=x; asid=y`, true],
        [`${sid}; note=sid%3Dforged`, true],
        [`__Host-a=1; __Secure-a=1; ${sid}; __Host-b=2`, true],
        [`${sid}; sid=forged`, false],
        [`sid=forged; ${sid}`, false],
        [`${sid}; ${sid}`, false],
        [`${sid};sid=forged`, false],
        [`${sid};${tab}sid = forged`, false],
        [`${sid}; ; ;sid=`, false],
        [`${sid}; sid`, false],
        [`${sid};\u00a0sid=forged`, false],
        [[sid, 'sid=forged'], false],
        [['theme=dark', sid, 'x=1; sid=forged'], false],
        [`auth=1; ${sid}; auth=2`, false],
        [`__Host-id=1; ${sid}; __Host-id=2`, false],
        [`__Secure-id=1; ${sid}; __Secure-id=1`, false],
        [`__HOST-id=1; ${sid}; __HOST-id=2`, false],
        [`__secure-id=1; ${sid}; __secure-id=2`, false],
      ]
      for (const [cookie, open] of rows) {
        served.made.runs.length = 0
        const answer = await served.dial('/live', { Cookie: cookie, Origin: ORIGIN })
        const why = JSON.stringify(cookie)
        if (open) assert.deepEqual([answer.status, answer.seen?.subject], [101, 'alice'], why)
        else {
          assert.deepEqual([answer.status, answer.code], [400, 'duplicate_cookie'], why)
          assert.equal(served.made.runs.length, 0, 'the app is not asked')
        }
      }
      const explicit = await served.dial('/live', { Cookie: 'sid=1; sid=2', 'X-Api-Key': API_KEYS.alice })
      assert.deepEqual([explicit.status, explicit.code], [400, 'duplicate_cookie'], 'beside an explicit one, too')
      const foreign = await served.dial('/live', { Cookie: 'sid=1; sid=2', Origin: 'https://evil.example' })
      assert.deepEqual([foreign.status, foreign.code], [403, 'bad_origin'], 'a foreign page learns nothing')
    })

    it('a session cookie that is not listed is the app’s own business', async () => {
      await using served = await serve(build)
      const sid = await served.login('alice')
      assert.notEqual((await served.dial('/live', { Cookie: `${sid}; sid=forged`, Origin: ORIGIN })).status, 400)
    })

    it('O2, O3: a cookie alone needs an Origin that passes, and no other site', async () => {
      await using served = await serve(build)
      const Cookie = await served.login('alice')
      const rows: ReadonlyArray<readonly [headers: Headers, status: number, code: string | undefined]> = [
        [{ Cookie, Origin: ORIGIN }, 101, undefined],
        [{ Cookie }, 403, 'missing_origin'],
        [{ Cookie, Authorization: '' }, 403, 'missing_origin'],
        [{ Cookie, Origin: 'https://evil.example' }, 403, 'bad_origin'],
        [{ Cookie, Origin: ORIGIN, 'Sec-Fetch-Site': 'cross-site' }, 403, 'cross_site'],
        [{ Cookie, Origin: ORIGIN, 'Sec-Fetch-Site': 'same-origin' }, 101, undefined],
        [{ Cookie, Origin: ORIGIN, 'Sec-Fetch-Mode': 'navigate' }, 403, 'cross_site'],
      ]
      for (const [headers, status, code] of rows) {
        const answer = await served.dial('/live', headers)
        assert.deepEqual([answer.status, answer.code], [status, code], JSON.stringify(headers))
      }
    })

    it('a session that nobody began opens nothing, and none is begun', async () => {
      await using served = await serve(build)
      for (const Cookie of ['sid=attacker-chosen', 'sid=s%3Aattacker.AAAA', 'sid=', 'sid']) {
        const { status, response } = await served.dial('/live', { Cookie, Origin: ORIGIN })
        assert.equal(status, 401)
        const set = response.headers.filter(
          ([field, value]) => /^set-cookie$/i.test(field) && !value.startsWith('sid=;'),
        )
        assert.deepEqual(set, [], Cookie)
      }
    })
  })
}

/** Addresses of this machine that a page of another site could reach under a name of its own. */
function localAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  const isPrivate = /^(?:10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|f[cd])/
  return all.flatMap(({ address }) => (isPrivate.test(address) ? [address] : []))
}

describe('O4: DNS rebinding', () => {
  const targets: Array<readonly [listens: string, reached: string]> = [
    ['::', '127.0.0.1'],
    ['::', '::1'],
    ['0.0.0.0', '127.0.0.1'],
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '::1'],
    ...localAddresses().flatMap((address) => [[address, address] as const, ['::', address] as const]),
  ]
  for (const [listens, reached] of targets) {
    it(`on ${listens}, reached at ${reached}: only names that the server knows`, async () => {
      const options: Partial<GateOptions> = { hosts: ['ws.internal.example'], tickets: {} }
      const gate = createGate({ identify: () => ({ subject: 'alice' }), ...options })
      const mint = gate.ticket('/live')
      const live = gate.websocket(() => undefined)
      let runs = 0
      const server = createServer((req, res) => {
        runs++
        if (req.url?.startsWith('/live/ticket')) return mint(req, res)
        return live(req, res)
      })
      gate.attach(server)
      await using listening = await listen(server, listens)
      const { port } = listening
      const ask = async (Host: string, more: Headers = {}): Promise<[number, string | undefined]> => {
        const headers = { Host, Origin: `http://${Host}`, Cookie: 'sid=1', ...more }
        const answer = await rawRequest({ port, host: reached, lines: handshake({ target: '/live', headers }) })
        return [answer.status, codeOf(answer.body)]
      }
      const literal = reached.includes(':') ? `[${reached}]` : reached
      for (const host of ['localhost', `localhost:${port}`, `${literal}:${port}`, 'ws.internal.example', '127.0.0.1']) {
        assert.deepEqual(await ask(host), [101, undefined], host)
      }
      runs = 0
      const foreign = [
        'evil.example',
        `evil.example:${port}`,
        'localhost.evil.example',
        '127.0.0.1.evil.example',
        'evil-localhost',
        'xlocalhost',
        'sub.ws.internal.example',
        '0x7f000001',
        '2130706433',
        '127.1',
      ]
      for (const host of foreign) assert.deepEqual(await ask(host), [421, 'host_not_allowed'], host)
      const forwarded = { 'X-Forwarded-Host': 'localhost', Forwarded: 'host=localhost', 'X-Real-Ip': '203.0.113.7' }
      assert.deepEqual(await ask('evil.example', forwarded), [421, 'host_not_allowed'])
      assert.deepEqual(await ask('evil.example', { Origin: null, Cookie: null, 'X-Api-Key': 'x' }), [
        421,
        'host_not_allowed',
      ])
      assert.equal(runs, 0, 'the app is not asked')
      for (const [method, target] of [
        ['POST', '/live/ticket'],
        ['GET', '/live'],
      ] as const) {
        const headers: Headers = {
          Host: 'evil.example',
          Origin: 'http://evil.example',
          Cookie: 'sid=1',
          'Content-Type': 'application/json',
          Upgrade: null,
          Connection: 'close',
        }
        const answer = await rawRequest({ port, host: reached, lines: handshake({ method, target, headers }) })
        assert.deepEqual([answer.status, codeOf(answer.body)], [421, 'host_not_allowed'], `${method} ${target}`)
      }
    })
  }
})
