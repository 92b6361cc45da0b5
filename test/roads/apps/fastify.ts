import fastifyCookie from '@fastify/cookie'
import fastifySession, { type FastifySessionOptions } from '@fastify/session'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { ticket, websocket } from '../../../src/fastify.ts'
import { createGate } from '../../../src/index.ts'
import { COOKIE_KEY, People } from '../people.ts'
import { GuardLog, gateOptions, hello, loginOf, pathOf, ROUTES, type Guard, type RoadsAdapter } from './types.ts'

type Request = FastifyRequest & { user?: string }
type Hook = (request: Request, reply: FastifyReply) => Promise<unknown>

/** Whom the login session of a request is of. */
export const sessionUser = (request: { session: object }): unknown => (request.session as { user?: unknown }).user

function guardsFor(people: People): Record<Guard, Hook> {
  const lets =
    (find: (request: Request) => string | undefined): Hook =>
    async (request, reply) => {
      const user = find(request)
      if (user === undefined) return reply.code(401).header('WWW-Authenticate', 'App').send({ app: 'who are you?' })
      request.user = user
      return undefined
    }
  const bySession = (request: Request): string | undefined => people.known(sessionUser(request))
  const byBasic = (request: Request): string | undefined => people.byBasic(request.headers.authorization)
  const logIn = (request: Request, user: string | undefined): string | undefined => {
    if (user !== undefined) Object.assign(request.session, { user })
    return user
  }
  return {
    session: lets(bySession),
    jwt: lets(({ headers }) => people.byBearer(headers.authorization)),
    key: lets(({ headers }) => people.byKey(headers['x-api-key'])),
    basic: lets(byBasic),
    either: lets((request) => bySession(request) ?? byBasic(request) ?? people.byBearer(request.headers.authorization)),
    writes: lets((request) => logIn(request, byBasic(request))),
    both: lets((request) => bySession(request) ?? logIn(request, byBasic(request))),
  }
}

export async function addSessions(app: FastifyInstance, records: Map<string, string>): Promise<void> {
  const store: NonNullable<FastifySessionOptions['store']> = {
    get: (id, done) => done(null, JSON.parse(records.get(id) ?? 'null')),
    set(id, record, done) {
      records.set(id, JSON.stringify(record))
      done()
    },
    destroy(id, done) {
      records.delete(id)
      done()
    },
  }
  await app.register(fastifyCookie)
  await app.register(fastifySession, {
    secret: COOKIE_KEY,
    cookieName: 'sid',
    cookie: { secure: false },
    saveUninitialized: false,
    store,
  })
  app.post('/login', async (request) => {
    Object.assign(request.session, { user: loginOf(request.url) })
    return 'welcome'
  })
}

export const fastifyApp: RoadsAdapter = {
  name: 'Fastify',
  middleware: {
    session: '@fastify/session',
    jwt: 'a hook with jsonwebtoken',
    key: 'own hook',
    basic: 'own hook',
  },
  async build(options = {}) {
    const identify = ({ user }: Request): { subject: string } | null => (user === undefined ? null : { subject: user })
    const gate = createGate<Request>({ ...gateOptions(options), identify })
    const [people, log, records] = [new People(), new GuardLog(), new Map<string, string>()]
    log.phaseOf = (req) => gate.phase(req)
    const app = fastify()
    app.decorateRequest('user')
    await addSessions(app as FastifyInstance, records)
    const guards = guardsFor(people)
    for (const guard of Object.keys(guards) as Guard[])
      guards[guard] = log.watched(guard, guards[guard], ([request]) => request.raw)
    const live = websocket(gate, (socket, { user }, { identity }) => log.greet(socket, identity.subject, user))
    const me: Hook = async ({ user }) => JSON.parse(hello(user ?? '', user))
    for (const { method, path, guard, end } of ROUTES) {
      const handler = end === 'ticket' ? ticket(gate, pathOf(guard, 'live')) : end === 'me' ? me : live
      app.route({ method, url: path, preHandler: guards[guard], handler: handler as never })
    }
    await app.ready()
    gate.attach(app.server)
    const close = async (): Promise<void> => await app.close()
    return { server: app.server, gate, log, people, sessions: () => Object.fromEntries(records), close }
  },
}
