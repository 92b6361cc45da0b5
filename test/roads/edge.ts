import { createServer, request, type IncomingHttpHeaders, type IncomingMessage, type Server } from 'node:http'
import type { Duplex } from 'node:stream'
import express, { type RequestHandler } from 'express'
import { createGate, type Gate } from '../../src/index.ts'
import type { Options } from './apps/types.ts'
import { People } from './people.ts'

/** Headers in which proxies tell an app who somebody is. An app behind such a proxy asks for no proof. */
export const IDENTITY_HEADERS = [
  'X-Remote-User',
  'Remote-User',
  'REMOTE_USER',
  'X_Remote_User',
  'X-Remote-Email',
  'X-Remote-Groups',
  'X-Forwarded-Access-Token',
  'X-UserId',
  'X-Username',
  'X-Roles',
  'Ssl-Client-Cert',
  'X-Forwarded-User',
  'X-Forwarded-Email',
  'X-Forwarded-Groups',
  'X-Forwarded-Preferred-Username',
  'X-Forwarded-Client-Cert',
  'X-Forwarded-For',
  'X-Auth-Request-User',
  'X-Auth-Request-Email',
  'X-Auth-User',
  'X-Authenticated-User',
  'X-Authenticated-Userid',
  'X-Authenticated-Scope',
  'X-WebAuth-User',
  'X-Webauth-Name',
  'X-User',
  'X-User-Id',
  'X-User-Email',
  'X-User-Roles',
  'X-Consumer-Username',
  'X-Consumer-Custom-Id',
  'X-Credential-Identifier',
  'X-Goog-Authenticated-User-Email',
  'X-Goog-Iap-Jwt-Assertion',
  'X-Ms-Client-Principal',
  'X-Ms-Client-Principal-Name',
  'X-Amzn-Oidc-Identity',
  'X-Amzn-Oidc-Data',
  'Cf-Access-Authenticated-User-Email',
  'Cf-Access-Jwt-Assertion',
  'Tailscale-User-Login',
  'X-Pomerium-Claim-Email',
  'X-Authentik-Username',
  'X-Client-Dn',
  'X-Ssl-Client-S-Dn',
  'X-Ssl-Client-Verify',
  'SSL_CLIENT_S_DN',
  'X-Endpoint-Api-Userinfo',
  'Impersonate-User',
  'X-Scope-OrgID',
  'X-Tenant-Id',
  'X-Real-Ip',
  'Client-Cert',
  'Oidc_Claim_Sub',
  'X-Vouch-User',
  'X-Email',
  'X-Role',
  'Forwarded',
] as const

/** As CGI and its relatives read names. */
const folded = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
const STRIPPED = new Set(IDENTITY_HEADERS.map(folded))

export const isIdentityHeader = (name: string): boolean => STRIPPED.has(folded(name))

/** Lines of the identity headers in raw headers. */
export function identityIn(rawHeaders: readonly string[]): string[] {
  return rawHeaders.filter((name, at) => at % 2 === 0 && isIdentityHeader(name))
}

/** A proxy that lets nobody say who they are, and forwards all else, upgrades too. It knows nobody itself. */
export function makeEdge(backend: () => number): Server {
  const forward = (req: IncomingMessage): ReturnType<typeof request> =>
    request({ port: backend(), host: '127.0.0.1', method: req.method, path: req.url, headers: strip(req.rawHeaders) })
  const edge = createServer((req, res) => {
    const onward = forward(req)
    onward.on('response', (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.rawHeaders)
      answer.pipe(res)
    })
    onward.on('error', () => res.destroy())
    req.pipe(onward)
  })
  edge.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    const onward = forward(req)
    socket.on('error', () => onward.destroy())
    onward.on('error', () => socket.destroy())
    onward.on('response', (answer) => {
      socket.write(headOf(answer))
      answer.pipe(socket)
    })
    onward.on('upgrade', (answer: IncomingMessage, to: Duplex, first: Buffer) => {
      to.on('error', () => socket.destroy())
      socket.on('close', () => to.destroy())
      socket.write(headOf(answer))
      socket.write(first)
      to.write(head)
      to.pipe(socket)
      socket.pipe(to)
    })
    onward.end()
  })
  return edge
}

function strip(rawHeaders: readonly string[]): string[] {
  return rawHeaders.filter((_, at) => !isIdentityHeader(rawHeaders[at - (at % 2)] ?? ''))
}

function headOf({ statusCode, statusMessage, rawHeaders }: IncomingMessage): string {
  const lines = rawHeaders.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${rawHeaders[at + 1]}`] : []))
  return `HTTP/1.1 ${statusCode} ${statusMessage}\r\n${lines.join('\r\n')}\r\n\r\n`
}

export interface Trusting {
  readonly server: Server
  readonly gate: Pick<Gate, 'on' | 'connections'>
  /** Raw headers of each request that reached the app. */
  readonly seen: Array<readonly string[]>
  /** Subjects of the WebSockets that opened. */
  readonly opened: string[]
}

/**
 * An app that believes each of these headers; whoever has none of them needs a token, a key or a password.
 */
export function trustingApp(options: Options): Trusting {
  const gate = createGate({ ...options, identify: (req) => (req as { user?: { subject: string } }).user ?? null })
  const [people, app] = [new People(), express()]
  const [seen, opened]: [Array<readonly string[]>, string[]] = [[], []]
  app.disable('x-powered-by')
  app.use((req, res, next) => {
    seen.push([...req.rawHeaders])
    const subject = trusted(req.headers) ?? proven(people, req.headers)
    Object.assign(req, { user: subject === undefined ? undefined : { subject } })
    if (subject === undefined) res.status(401).end('who are you?')
    else next()
  })
  const live = gate.websocket((socket, _req, { identity }) => {
    opened.push(identity.subject)
    socket.send(JSON.stringify({ subject: identity.subject, user: identity.subject }))
  }) as RequestHandler
  app.get('/live', live)
  app.get('/talk', live)
  app.get(
    '/me',
    (_req, res) => void res.json({ subject: (_req as unknown as { user: { subject: string } }).user.subject }),
  )
  app.post('/ticket', gate.ticket('/live') as RequestHandler)
  const server = createServer(app)
  gate.attach(server)
  return { server, gate, seen, opened }
}

function trusted(headers: IncomingHttpHeaders): string | undefined {
  const name = IDENTITY_HEADERS.find((one) => headers[one.toLowerCase()] !== undefined)
  return name === undefined ? undefined : String(headers[name.toLowerCase()])
}

function proven(people: People, headers: IncomingHttpHeaders): string | undefined {
  const { authorization } = headers
  return people.byBearer(authorization) ?? people.byBasic(authorization) ?? people.byKey(headers['x-api-key'])
}
