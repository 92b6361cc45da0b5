import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { RequestHandler } from 'express'
import { WebSocketServer } from 'ws'
import { createGate, type SubprotocolForm } from '../../../src/index.ts'
import { trapFaults } from '../../support/trap.ts'
import { API_KEYS, expressApp, fastifyApp, jwtFor, koaApp, type Build } from './apps.ts'
import { assertNowhere, ORIGIN, serve, serveMade, type Dialled, type Headers } from './support.ts'

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

const token = jwtFor('alice')
const base64url = (text: string): string => Buffer.from(text, 'latin1').toString('base64url')
const encoded = base64url(token)

const FORMS: Readonly<Record<SubprotocolForm, (written: string) => string>> = {
  gate101: (text) => `base64url.bearer.authorization.gate101.${base64url(text)}`,
  kubernetes: (text) => `base64url.bearer.authorization.k8s.io.${base64url(text)}`,
  phoenix: (text) => `base64url.bearer.phx.${base64url(text)}`,
  openai: (text) => `openai-insecure-api-key.${text}`,
  bearer: (text) => `bearer.${text}`,
}
const NAMES = Object.keys(FORMS) as SubprotocolForm[]

const offers = (...items: string[]): Headers => ({ 'Sec-WebSocket-Protocol': items.join(', ') })
const saidOf = ({ status, code, seen }: Dialled): unknown => (status === 101 ? seen?.subject : [status, code])

const APPS: ReadonlyArray<readonly [name: string, build: Build]> = [
  ['Express', expressApp],
  ['Koa', koaApp],
  ['Fastify', fastifyApp],
]

for (const [framework, build] of APPS) {
  describe(`subprotocol tokens on ${framework}`, () => {
    for (const form of NAMES) {
      it(`${form}: becomes Authorization, and is nowhere else`, async () => {
        await using served = await serve(build, { subprotocolTokens: [form] })
        const item = FORMS[form](token)
        for (const items of [
          [item, 'gate101'],
          ['gate101', item],
          ['first', item, 'gate101', 'last'],
        ]) {
          served.made.runs.length = 0
          const answer = await served.dial('/live', { ...offers(...items), Cookie: 'theme=dark' })
          assert.deepEqual([saidOf(answer), answer.protocol], ['alice', 'gate101'])
          assert.equal(answer.seen?.headers.authorization, `Bearer ${token}`)
          assert.equal(answer.seen.headers.cookie, undefined)
          const left = items.filter((one) => one !== item).join(', ')
          assert.equal(answer.seen.headers['sec-websocket-protocol'], left)
          assertNowhere([item], [served.made.runs, answer.seen, answer.response.headers], 'the item')
          assertNowhere([token, encoded], [answer.response.headers, served.events, served.made.log], 'the token')
        }
        const wrong = await served.dial('/live', offers(FORMS[form]('wrong-token'), 'gate101'))
        assert.deepEqual(saidOf(wrong), [401, undefined], "the app's own 401")
        assert.deepEqual(served.refused(), ['app'])
      })
    }
  })
}

describe('subprotocol tokens', () => {
  it('are off by default, and each form alone: the item stays and is not selected', async () => {
    for (const on of [undefined, false, [], ['phoenix']] as const) {
      await using served = await serve(expressApp, on === undefined ? {} : { subprotocolTokens: on })
      for (const form of NAMES) {
        if (Array.isArray(on) && (on as readonly string[]).includes(form)) continue
        const item = FORMS[form](token)
        assert.deepEqual(saidOf(await served.dial('/live', offers(item, 'gate101'))), [401, undefined])
        assert.equal(served.made.runs.at(-1)?.headers['sec-websocket-protocol'], `${item}, gate101`)
        const good = await served.dial('/live', { ...offers(item, 'gate101'), Authorization: `Bearer ${token}` })
        assert.deepEqual([saidOf(good), good.protocol], ['alice', 'gate101'])
        const alone = await served.dial('/live', { ...offers(item), Authorization: `Bearer ${token}` })
        assert.deepEqual([saidOf(alone), alone.protocol], ['alice', undefined])
      }
    }
  })

  it('say what is wrong with them, before the app is asked', async () => {
    await using served = await serve(expressApp, { subprotocolTokens: NAMES })
    const [gate101, kubernetes] = [FORMS.gate101(token), FORMS.kubernetes(token)]
    const prefix = 'base64url.bearer.authorization.gate101.'
    const rows: ReadonlyArray<readonly [headers: Headers, status: number, code: string]> = [
      [offers('gate101', `${prefix}${encoded}=`), 400, 'bad_token'],
      [offers('gate101', `${prefix}${Buffer.from(`${token}x`).toString('base64')}`), 400, 'bad_token'],
      [offers('gate101', `${prefix}YWJj+w`), 400, 'bad_token'],
      [offers('gate101', `${prefix}YWJj/w`), 400, 'bad_token'],
      [offers('gate101', prefix), 400, 'bad_token'],
      [offers('gate101', `${prefix}YWJ`), 400, 'bad_token'], // bits behind the last byte
      [offers('gate101', `${prefix}Y`), 400, 'bad_token'],
      [offers('gate101', FORMS.gate101('a b')), 400, 'bad_token'],
      [offers('gate101', FORMS.gate101('a\r\nX-Admin: 1')), 400, 'bad_token'],
      [offers('gate101', FORMS.gate101('a,b')), 400, 'bad_token'],
      [offers('gate101', FORMS.gate101('tökén')), 400, 'bad_token'],
      [offers('gate101', FORMS.gate101('\0')), 400, 'bad_token'],
      [offers('gate101', 'bearer.'), 400, 'bad_token'],
      [offers('gate101', "bearer.it's"), 400, 'bad_token'],
      [offers('gate101', 'openai-insecure-api-key.a*b'), 400, 'bad_token'],
      [offers('gate101', `bearer.a=b`), 400, 'bad_token'],
      [offers('gate101', gate101, kubernetes), 400, 'credential_conflict'],
      [offers('gate101', gate101, FORMS.gate101('other')), 400, 'credential_conflict'],
      [offers('gate101', FORMS.bearer('a'), FORMS.openai('b')), 400, 'credential_conflict'],
      [{ 'Sec-WebSocket-Protocol': [gate101, kubernetes, 'gate101'] }, 400, 'credential_conflict'],
      [offers('gate101', gate101, gate101), 400, 'bad_protocol'],
      [offers(gate101), 400, 'subprotocol_required'],
      [offers(gate101, 'refusal.gate101'), 400, 'subprotocol_required'],
      [{ ...offers('gate101', gate101), Authorization: `Bearer ${token}` }, 400, 'credential_conflict'],
      [{ ...offers('gate101', gate101), 'X-Api-Key': API_KEYS.alice }, 400, 'credential_conflict'],
      [{ ...offers('gate101', gate101), Origin: 'https://evil.example' }, 403, 'bad_origin'],
      [{ ...offers('gate101', FORMS.gate101('a b')), Origin: 'https://evil.example' }, 403, 'bad_origin'],
      [{ ...offers('gate101', gate101), Host: 'evil.example' }, 421, 'host_not_allowed'],
      [offers('gate101', `${prefix}${base64url('a'.repeat(6200))}`), 400, 'bad_token'],
      [offers(...Array.from({ length: 33 }, (_, n) => `p${n}`), gate101), 400, 'bad_protocol'],
    ]
    for (const [headers, status, code] of rows) {
      const answer = await served.dial('/live', headers)
      const why = JSON.stringify(headers).slice(0, 200)
      assert.deepEqual(saidOf(answer), [status, code], why)
      assertNowhere([token, encoded], [answer.response.headers, answer.response.body.toString()], why)
    }
    assert.equal(served.made.runs.length, 0)
  })

  it('an empty Authorization and another user’s cookie neither help nor harm', async () => {
    await using served = await serve(expressApp, { subprotocolTokens: true })
    const Cookie = await served.login('bob')
    const answer = await served.dial('/live', {
      ...offers('gate101', FORMS.gate101(token)),
      Cookie,
      Authorization: '',
      Origin: ORIGIN,
    })
    assert.deepEqual([saidOf(answer), answer.seen?.headers.cookie], ['alice', undefined])
    const wrong = await served.dial('/live', { ...offers('gate101', FORMS.gate101('wrong')), Cookie, Origin: ORIGIN })
    assert.deepEqual(saidOf(wrong), [401, undefined], 'no falling back on the cookie')
  })

  it('a real subprotocol is selected: the route’s own before gate101, and a library’s', async () => {
    const wss = new WebSocketServer({ noServer: true })
    wss.on('connection', (ws) => ws.send('{}'))
    const made = await expressApp({ subprotocolTokens: true }, (app, gate, requireLogin) => {
      app.get('/v', requireLogin, gate.websocket((ws) => ws.send('{}'), { protocols: ['v2'] }) as RequestHandler)
      app.get('/library', requireLogin, gate.accept(wss) as RequestHandler)
    })
    await using served = await serveMade(made)
    const item = FORMS.gate101(token)
    for (const [path, items, selected] of [
      ['/v', [item, 'gate101', 'v2'], 'v2'],
      ['/v', [item, 'v1', 'gate101'], 'gate101'],
      ['/v', [item, 'v1'], undefined],
      ['/library', [item, 'v1', 'gate101'], 'v1'],
    ] as const) {
      const answer = await served.dial(path, offers(...items))
      assert.deepEqual([answer.status, answer.protocol], [101, selected], `${path} ${items.slice(1).join()}`)
    }
  })
})

describe('query tokens', () => {
  it('are off by default', async () => {
    await using served = await serve(expressApp)
    const target = `/live?access_token=${token}`
    assert.deepEqual(saidOf(await served.dial(target)), [401, undefined])
    assert.equal(served.made.runs.at(-1)?.url, target)
    assertNowhere([token], served.events, 'the events all the same')
  })

  it('become Authorization where they are on, and are gone from the URL', async () => {
    for (const [build, on, name] of [
      [expressApp, true, 'access_token'],
      [koaApp, 'jwt', 'jwt'],
      [fastifyApp, true, 'access_token'],
    ] as const) {
      await using served = await serve(build, { dangerouslyAllowQueryToken: on })
      for (const [query, left] of [
        [`?${name}=${token}`, ''],
        [`?a=1&${name}=${token}&b=%20`, '?a=1&b=%20'],
        [`?${name.replace('t', '%74')}=${token}&x`, '?x'],
        [`?${name}=${token.replaceAll('.', '%2E')}`, ''],
      ] as const) {
        served.made.runs.length = 0
        const answer = await served.dial(`/live${query}`, { Cookie: 'sid=other' })
        assert.equal(saidOf(answer), 'alice', query)
        assert.equal(answer.seen?.url, `/live${left}`)
        assert.equal(answer.seen.headers.authorization, `Bearer ${token}`)
        assert.equal(answer.seen.headers.cookie, undefined)
        const urls = [served.made.runs.map(({ url, originalUrl, query: parsed }) => [url, originalUrl, parsed])]
        assertNowhere([token], [urls, served.made.log, served.events, answer.response.headers], query)
      }
      const rows: ReadonlyArray<readonly [query: string, headers: Headers, status: number, code: string | undefined]> =
        [
          [`?${name}=${token}&${name}=${token}`, {}, 400, 'bad_token'],
          [`?${name}=`, {}, 400, 'bad_token'],
          [`?${name}`, {}, 400, 'bad_token'],
          [`?${name}=a%20b`, {}, 400, 'bad_token'],
          [`?${name}=a%0d%0ab`, {}, 400, 'bad_token'],
          [`?${name}=%FF`, {}, 400, 'bad_token'],
          [`?${name}=${token}`, { Authorization: `Bearer ${token}` }, 400, 'credential_conflict'],
          [`?${name}=${token}`, { Origin: 'https://evil.example' }, 403, 'bad_origin'],
          [`?${name}=wrong`, {}, 401, undefined],
        ]
      for (const [query, headers, status, code] of rows) {
        const answer = await served.dial(`/live${query}`, headers)
        assert.equal(answer.status, status, query)
        if (status !== 401) assert.equal(answer.code, code, query)
      }
      assertNowhere([token], [served.events, served.made.log], 'events and log')
    }
  })
})

it('what cannot be meant is an error at start', () => {
  for (const options of [
    { subprotocolTokens: 'gate101' },
    { subprotocolTokens: ['GATE101'] },
    { subprotocolTokens: ['__proto__'] },
    { dangerouslyAllowQueryToken: 'ticket' },
    { dangerouslyAllowQueryToken: 'a b' },
    { dangerouslyAllowQueryToken: '' },
    { dangerouslyAllowQueryToken: 1 },
  ]) {
    assert.throws(() => createGate({ identify: () => null, ...(options as object) }), { code: 'GATE101_CONFIG' })
  }
})
