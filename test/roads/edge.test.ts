import assert from 'node:assert/strict'
import { createServer, request, type IncomingMessage, type RequestListener } from 'node:http'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { createGate, type Gate } from '../../src/index.ts'
import { listen, type Listening } from '../support/servers.ts'
import { dial } from './dial.ts'

/**
 * An edge that strips the headers in which it says who somebody is, in front of an app that believes them. No road may
 * bring such a header past it.
 */

const NAMES = [
  'X-Remote-User',
  'Remote-User',
  'X_Remote_User',
  'X-Remote-Email',
  'X-Remote-Groups',
  'X-Forwarded-User',
  'X-Forwarded-Email',
  'X-Forwarded-Groups',
  'X-Forwarded-Preferred-Username',
  'X-Forwarded-Access-Token',
  'X-Forwarded-Client-Cert',
  'X-Auth-Request-User',
  'X-Auth-Request-Email',
  'X-WebAuth-User',
  'X-Authenticated-User',
  'X-Authenticated-UserId',
  'X-Goog-Authenticated-User-Email',
  'X-Goog-IAP-JWT-Assertion',
  'Cf-Access-Authenticated-User-Email',
  'X-MS-Client-Principal',
  'X-MS-Client-Principal-Name',
  'X-Amzn-Oidc-Identity',
  'X-Amzn-Oidc-Data',
  'X-Pomerium-Claim-Email',
  'X-Authentik-Username',
  'X-Vouch-User',
  'Tailscale-User-Login',
  'X-Consumer-Username',
  'X-Consumer-Custom-Id',
  'X-Credential-Identifier',
  'X-User',
  'X-User-Id',
  'X-UserId',
  'X-Username',
  'X-Email',
  'X-Roles',
  'X-SSL-Client-S-DN',
  'Ssl-Client-Cert',
  'Client-Cert',
  'X-Endpoint-API-UserInfo',
] as const

const GOOD = 'a-good-token'
const isNamed = (name: string): boolean => NAMES.some((one) => one.toLowerCase() === name.toLowerCase())

/** Who the app takes somebody for; the last header that it was told. */
const userOf = (req: IncomingMessage): string | undefined => {
  const told = Object.entries(req.headers).find(([name]) => isNamed(name))
  return told === undefined ? (req.headers.authorization === `Bearer ${GOOD}` ? 'ann' : undefined) : String(told[1])
}

/** Strips the names from all that comes, upgrades included. */
function edge(port: number): ReturnType<typeof createServer> {
  const cleaned = (req: IncomingMessage): string[] => {
    const kept: string[] = []
    for (let n = 0; n < req.rawHeaders.length; n += 2) {
      const name = req.rawHeaders[n] ?? ''
      if (!isNamed(name)) kept.push(name, req.rawHeaders[n + 1] ?? '')
    }
    return kept
  }
  const server = createServer((req, res) => {
    const { method, url: path } = req
    const asked = request({ host: '127.0.0.1', port, method, path, headers: cleaned(req) }, (answer) => {
      res.writeHead(answer.statusCode ?? 500, answer.rawHeaders)
      answer.pipe(res)
    })
    req.pipe(asked)
  })
  server.on('upgrade', (req: IncomingMessage, socket, head: Buffer) => {
    const inner = connect(port, '127.0.0.1', () => {
      const pairs = cleaned(req)
      let text = `${req.method} ${req.url} HTTP/1.1\r\n`
      for (let n = 0; n < pairs.length; n += 2) text += `${pairs[n]}: ${pairs[n + 1]}\r\n`
      inner.write(`${text}\r\n`)
      inner.write(head)
      inner.pipe(socket).pipe(inner)
    })
    for (const one of [inner, socket]) one.on('error', () => [inner, socket].forEach((other) => other.destroy()))
  })
  return server
}

function appOf(gate: Gate): RequestListener {
  const live = gate.websocket((socket, _req, { identity }) => socket.send(identity.subject))
  const ticket = gate.ticket('/live')
  return (req, res) => {
    if (userOf(req) === undefined) res.writeHead(401).end()
    else if (req.url === '/ticket') ticket(req, res)
    else live(req, res)
  }
}

const item = (text: string): string =>
  `base64url.bearer.authorization.gate101.${Buffer.from(text).toString('base64url')}`

describe('an edge that strips who somebody is', () => {
  let app: Listening
  let front: Listening
  const named = new Map<string, string>()
  before(async () => {
    const gate = createGate({
      identify: (req) => ({ subject: userOf(req) ?? '' }),
      subprotocolTokens: true,
      dangerouslyAllowQueryToken: true,
      firstMessage: {
        paths: ['/live'],
        // What an unwary operator might write.
        toHeaders: (message) => JSON.parse(String(message)) as Record<string, string>,
      },
      limits: { waitingPerAddress: 1000 },
    })
    const byForm = createGate({
      identify: (req) => ({ subject: userOf(req) ?? '' }),
      firstMessage: { paths: ['/form'] },
      limits: { waitingPerAddress: 1000 },
    })
    const form = byForm.websocket((socket, _req, { identity }) => socket.send(identity.subject))
    const others = appOf(gate)
    const server = createServer((req, res) => {
      if (req.url !== '/form') return others(req, res)
      return userOf(req) === undefined ? res.writeHead(401).end() : form(req, res)
    })
    gate.attach(server, { paths: ['/live'] })
    byForm.attach(server, { paths: ['/form'] })
    app = await listen(server)
    front = await listen(edge(app.port))
    named.set('app', `ws://127.0.0.1:${app.port}`)
    named.set('front', `ws://127.0.0.1:${front.port}`)
  })
  after(async () => {
    await front.close()
    await app.close()
  })

  const through = (path: string): string => `${named.get('front')}${path}`

  async function ticketFor(base: Listening, headers: Record<string, string>): Promise<{ status: number; url: string }> {
    const response = await fetch(`http://127.0.0.1:${base.port}/ticket`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...headers },
      body: '{}',
    })
    const { url = '' } = (await response.json().catch(() => ({}))) as { url?: string }
    return { status: response.status, url }
  }

  test('control: the app believes the header where there is no edge, and the token through it', async () => {
    const told = await dial(`${named.get('app')}/live`, { headers: { 'X-Remote-User': 'root', 'X-Api-Key': 'any' } })
    assert.deepEqual(told.texts, ['root'])
    const token = await dial(through('/live'), { headers: { Authorization: `Bearer ${GOOD}` } })
    assert.deepEqual(token.texts, ['ann'])
  })

  for (const name of NAMES) {
    test(name, async () => {
      const Authorization = `Bearer ${GOOD}`
      const direct = await dial(through('/live'), { headers: { [name]: 'root', Authorization } })
      assert.deepEqual(direct.texts, ['ann'], 'header')

      const forms = [{ [name]: 'root' }, { Authorization, [name]: 'root' }, { [name.toLowerCase()]: 'root' }]
      const outcomes = await Promise.all([
        ...forms.map((headers) => dial(through('/form'), { message: { type: 'auth', headers } })),
        ...forms.map((headers) => dial(through('/live'), { message: headers })),
        dial(through('/form'), { message: { type: 'auth', token: `${GOOD}\r\n${name}: root` } }),
        dial(through('/live'), { protocols: ['gate101', item(`${GOOD}\r\n${name}: root`)] }),
        dial(through(`/live?access_token=${encodeURIComponent(`${GOOD}\r\n${name}: root`)}`)),
      ])
      assert.deepEqual(
        outcomes.map(({ outcome }) => outcome),
        [4400, 4400, 4400, 4400, 4400, 4400, 4400, 400, 400],
      )

      // Asked for behind the edge, where the header is there and true: it is not sealed all the same.
      const { status, url } = await ticketFor(app, { [name]: 'root', Authorization })
      assert.equal(status, 200)
      assert.deepEqual((await dial(through(url))).texts, ['ann'], 'ticket')
    })

    test(`${name}: cannot be configured`, async () => {
      const identify = (): { subject: string } => ({ subject: 'ann' })
      assert.throws(() => createGate({ identify, firstMessage: { paths: ['/live'], headers: [name] } }), {
        code: 'GATE101_CONFIG',
      })
      const gate = createGate({ identify, credentialHeaders: [name] })
      await using at = await listen(createServer(gate.ticket('/live')))
      assert.equal((await ticketFor(at, { [name]: 'root', Origin: `http://127.0.0.1:${at.port}` })).status, 401)
    })
  }
})
