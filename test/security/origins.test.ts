import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { GateOptions } from '../../src/index.ts'
import { handshake, rawRequest } from '../support/raw.ts'
import { listen } from '../support/servers.ts'
import { trapFaults } from '../support/trap.ts'
import { expressApp, KEY } from './apps.ts'

type Row = readonly [headers: Record<string, string | string[]>, status: number, why: string]

const COOKIE = { Cookie: 'sid=1' }
const EXPLICIT = { 'X-Api-Key': KEY }
const LISTED: GateOptions = { origins: ['https://app.example.com'] }
const listed = (Origin: string, status: number, why: string): Row => [{ ...EXPLICIT, Origin }, status, why]

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

function rows(title: string, options: GateOptions, cases: readonly Row[]): void {
  it(title, async () => {
    let ran = 0
    const { server } = expressApp((app, own) => {
      app.use((_req, _res, next) => {
        ran++
        next()
      })
      app.get(
        '/ws',
        own.websocket(() => undefined),
      )
    }, options)
    await using listening = await listen(server)
    for (const [headers, status, why] of cases) {
      ran = 0
      const answer = await rawRequest({ port: listening.port, lines: handshake({ headers }) })
      assert.equal(answer.status, status, why)
      assert.equal(ran, status === 101 ? 1 : 0, `the app is asked only about what passes: ${why}`)
      if (status !== 101) assert.ok(answer.closed)
    }
  })
}

describe('O1: an Origin that is there must pass, as a tuple', () => {
  rows('of a list', LISTED, [
    listed('https://app.example.com', 101, 'listed'),
    listed('https://app.example.com:443', 101, 'its default port'),
    listed('HTTPS://APP.example.com', 101, 'in any case'),
    listed('http://app.example.com', 403, 'another scheme'),
    listed('https://app.example.com:8443', 403, 'another port'),
    listed('https://app.example.com.evil.example', 403, 'as a prefix'),
    listed('https://evilapp.example.com', 403, 'as a suffix'),
    listed('https://sub.app.example.com', 403, 'a subdomain'),
    listed('https://app-example.com', 403, 'a dot that matches anything'),
    listed('https://app.example.com.', 403, 'a trailing dot'),
    listed('https://app.example.com`evil.example', 403, 'a backtick'),
    listed('https://app.example.com{evil.example', 403, 'a brace'),
    listed('https://app.example.com%60.evil.example', 403, 'an encoded backtick'),
    listed('https://app.example.com_evil.example', 403, 'an underscore'),
    listed('https://user@app.example.com', 403, 'a user'),
    listed('https://app.example.com/', 403, 'a path'),
    listed('https://app.example.com?x', 403, 'a query'),
    listed('https://app.example.com https://evil.example', 403, 'a list'),
    listed('https://evil.example, https://app.example.com', 403, 'a list with a comma'),
    listed('null', 403, 'null'),
    listed('', 403, 'empty'),
    listed('https://аpp.example.com', 403, 'a letter of another script'),
    listed('chrome-extension://abcdef', 403, 'an extension'),
    listed('file://', 403, 'a file'),
    listed('https://localhost', 403, 'our own name, which is not listed'),
    [
      { ...EXPLICIT, Origin: ['https://app.example.com', 'https://app.example.com'] },
      400,
      'two of them, although both are listed',
    ],
    [{ ...EXPLICIT, 'Sec-WebSocket-Origin': 'https://evil.example' }, 101, 'a header of an old draft says nothing'],
  ])
  rows('of the same origin', {}, [
    [{ ...EXPLICIT, Origin: 'http://localhost' }, 101, 'the same'],
    [{ ...EXPLICIT, Origin: 'https://localhost' }, 101, 'TLS ended in front'],
    [{ ...EXPLICIT, Origin: 'http://localhost:8080' }, 403, 'another port'],
    [{ ...EXPLICIT, Host: 'localhost:8080', Origin: 'http://localhost:8080' }, 101, 'the same port'],
    [{ ...EXPLICIT, Origin: 'ws://localhost' }, 403, 'no page has this scheme'],
    [
      { ...EXPLICIT, Origin: 'https://evil.example', 'X-Forwarded-Host': 'evil.example' },
      403,
      'forwarded by somebody who is not trusted',
    ],
    [
      { ...EXPLICIT, Origin: 'https://evil.example', Forwarded: 'host=evil.example;proto=https' },
      403,
      'the same by the other header',
    ],
  ])
  rows('of the origin that a trusted proxy names', { trustedProxies: ['127.0.0.1'], hosts: ['app.example.com'] }, [
    [
      {
        ...EXPLICIT,
        Origin: 'https://app.example.com',
        'X-Forwarded-Host': 'app.example.com',
        'X-Forwarded-Proto': 'https',
      },
      101,
      'the same as forwarded',
    ],
    [
      {
        ...EXPLICIT,
        Origin: 'http://app.example.com',
        'X-Forwarded-Host': 'app.example.com',
        'X-Forwarded-Proto': 'https',
      },
      403,
      'http before a proxy that speaks https',
    ],
    [
      {
        ...EXPLICIT,
        Origin: 'https://evil.example',
        'X-Forwarded-Host': 'evil.example, app.example.com',
        'X-Forwarded-Proto': 'https',
      },
      403,
      'what the client itself put in front of the list',
    ],
  ])
})

describe('O2: no Origin, and a credential that browsers send by themselves', () => {
  rows("'unless-ambient', the default", {}, [
    [COOKIE, 403, 'a cookie alone'],
    [EXPLICIT, 101, 'a key'],
    [{ ...COOKIE, ...EXPLICIT }, 101, 'a key beside a cookie'],
    [{ ...COOKIE, 'X-Api-Key': '' }, 403, 'an empty key is none'],
    [{ ...COOKIE, 'X-Other': 'x' }, 403, 'a header that is no credential'],
    [{ ...COOKIE, Origin: 'http://localhost' }, 101, 'a cookie with the Origin'],
  ])
  rows("'allow'", { origins: { allow: 'same-origin', missing: 'allow' } }, [
    [COOKIE, 101, 'a cookie alone'],
    [{ ...COOKIE, Origin: 'https://evil.example' }, 403, 'O1 holds all the same'],
  ])
  rows("'refuse'", { origins: { allow: 'same-origin', missing: 'refuse' } }, [
    [EXPLICIT, 403, 'a key'],
    [{ ...EXPLICIT, Origin: 'http://localhost' }, 101, 'a key with the Origin'],
  ])
})

describe('O3: Sec-Fetch-Site', () => {
  rows('cross-site refuses under same-origin', {}, [
    [{ ...EXPLICIT, Origin: 'http://localhost', 'Sec-Fetch-Site': 'cross-site' }, 403, 'with our own Origin'],
    [{ ...EXPLICIT, 'Sec-Fetch-Site': 'cross-site' }, 403, 'without an Origin'],
    [{ ...EXPLICIT, Origin: 'http://localhost', 'Sec-Fetch-Site': 'same-origin' }, 101, 'from our own page'],
    [{ ...EXPLICIT, Origin: 'http://localhost', 'Sec-Fetch-Mode': 'navigate' }, 403, 'a navigation'],
  ])
  rows('is what a listed Origin brings', LISTED, [
    [{ ...EXPLICIT, Origin: 'https://app.example.com', 'Sec-Fetch-Site': 'cross-site' }, 101, 'listed'],
  ])
})

describe('O4: on a loopback address only names that the server knows', () => {
  const host = (Host: string, status: number, why: string): Row => [
    { ...EXPLICIT, Host, Origin: `http://${Host}` },
    status,
    why,
  ]
  rows('a page that has bound its name to this address', {}, [
    host('evil.example', 421, 'Origin equals Host: DNS rebinding'),
    host('evil.example:8080', 421, 'with a port'),
    host('localhost.evil.example', 421, 'our name as a prefix'),
    host('evil-localhost', 421, 'our name as a suffix'),
    host('127.0.0.1.evil.example', 421, 'our address as a prefix'),
    host('127.0.0.1', 101, 'an address'),
    host('[::1]:8080', 101, 'an IPv6 address'),
    host('localhost', 101, 'localhost'),
    [{ ...EXPLICIT, Host: 'evil.example' }, 421, 'without an Origin'],
    [{ ...EXPLICIT, Host: 'evil.example', 'X-Forwarded-Host': 'localhost' }, 421, 'with a forwarded name'],
  ])
  rows('the names of the options', { hosts: ['ws.internal'], origins: ['https://app.example.com'] }, [
    [{ ...EXPLICIT, Host: 'ws.internal' }, 101, 'of hosts'],
    [{ ...EXPLICIT, Host: 'app.example.com' }, 101, 'of an origin'],
    [{ ...EXPLICIT, Host: 'sub.app.example.com' }, 421, 'not of its subdomains'],
  ])
})
