import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { WebSocketServer } from 'ws'
import { createGate, type Scheme } from '../../../src/index.ts'
import { apiKey, basic, hashApiKey, jwt } from '../../../src/schemes.ts'
import { AUDIENCE, ISSUER, keyOf, People, SIGNING_KEY } from '../people.ts'
import {
  credentialsIn,
  GuardLog,
  gateOptions,
  hello,
  KINDS,
  pathOf,
  ROUTES,
  type Guard,
  type RoadsAdapter,
} from './types.ts'

const identityOf = (subject: string | undefined): { subject: string } | null =>
  subject === undefined ? null : { subject }

function makeSchemes(people: People): ReadonlyArray<readonly [Guard, Scheme]> {
  const byHash = new Map((['alice', 'bob', 'carol'] as const).map((one) => [hashApiKey(keyOf(one)), one]))
  return [
    ['basic', basic({ verify: (name, password) => identityOf(people.byPassword(name, password)) })],
    [
      'jwt',
      jwt({
        issuer: ISSUER,
        audience: AUDIENCE,
        algorithms: ['HS256'],
        key: Buffer.from(SIGNING_KEY),
        identify: ({ sub }) => identityOf(people.known(sub)),
      }),
    ],
    ['key', apiKey({ lookup: (hash) => identityOf(people.known(byHash.get(hash))) })],
  ]
}

/** Each call of `verify` is noted: for HTTP requests and handshakes it is the same function. */
function watched(log: GuardLog, [guard, scheme]: readonly [Guard, Scheme]): Scheme {
  const verify = new Proxy(scheme.verify, {
    apply(target, self, args: Parameters<Scheme['verify']>) {
      const [{ headers }] = args
      const saw = credentialsIn(headers.flat())
      log.ran.push({ guard, middleware: target, method: undefined, url: undefined, phase: undefined, saw })
      return Reflect.apply(target, self, args)
    },
  })
  return { ...scheme, verify }
}

const ENDPOINTS: readonly string[] = KINDS.flatMap((kind) => [pathOf(kind, 'live'), pathOf(kind, 'talk')])

/** No app that decides: the schemes, all of them at once, and a WebSocket library. */
export const schemes: RoadsAdapter = {
  name: 'gate101/schemes',
  middleware: { session: undefined, jwt: 'jwt()', key: 'apiKey()', basic: 'basic()' },
  async build(options = {}) {
    const [people, log] = [new People(), new GuardLog()]
    const gate = createGate({
      ...gateOptions(options),
      authenticate: makeSchemes(people).map((one) => watched(log, one)),
    })
    const wss = new WebSocketServer({ noServer: true })
    wss.on('connection', (socket, req) => {
      const subject = gate.connection(req, socket)?.identity.subject
      log.greet(socket, subject ?? '', subject)
    })
    const guard = gate.authenticate()
    const ends = new Map<string, (req: IncomingMessage, res: ServerResponse) => unknown>()
    for (const { path, guard: kind, end } of ROUTES) {
      if (end === 'me') ends.set(path, (req, res) => guard(req, res, () => me(req, res)))
      // It asks the schemes by itself.
      if (end === 'ticket') ends.set(path, gate.ticket(pathOf(kind, 'live')))
    }
    const server = createServer((req, res) => {
      const end = ends.get(req.url ?? '')
      if (end === undefined) res.writeHead(404).end()
      else void end(req, res)
    })
    server.on('upgrade', (req, socket, head) => {
      if (ENDPOINTS.includes((req.url ?? '').split('?')[0] ?? ''))
        wss.handleUpgrade(req, socket, head, (ws) => wss.emit('connection', ws, req))
      else socket.destroy()
    })
    gate.attach(server)
    return { server, gate, log, people, sessions: () => ({}) }
  },
}

function me(req: IncomingMessage, res: ServerResponse): void {
  const { subject } = (req as IncomingMessage & { identity: { subject: string } }).identity
  res.end(hello(subject, subject))
}
