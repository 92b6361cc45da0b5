import type { IncomingMessage, Server } from 'node:http'
import type { Gate, GateOptions } from '../../../src/index.ts'
import type { People } from '../people.ts'

/** Kinds of login that apps have. */
export const KINDS = ['session', 'jwt', 'key', 'basic'] as const
export type Kind = (typeof KINDS)[number]

/**
 * Middlewares that stand before a route: one for each kind, and `either`, which takes a session, else a token or a password.
 * `writes` and `both` write a login by password into the session, as passport does unless it is told not to: `writes`
 * takes passwords alone, `both` a session, else a password.
 */
export const GUARDS = [...KINDS, 'either', 'writes', 'both'] as const
export type Guard = (typeof GUARDS)[number]

/** Every app has these routes, each behind the guard that it names. `talk` takes first messages. */
export type End = 'live' | 'talk' | 'me' | 'ticket'

export const pathOf = (guard: Guard, end: End): string => `/${guard}/${end}`

export interface RouteRow {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly guard: Guard
  readonly end: End
}

export const ROUTES: readonly RouteRow[] = GUARDS.flatMap((guard) =>
  (['live', 'talk', 'me', 'ticket'] as const).map((end) => ({
    method: end === 'ticket' ? ('POST' as const) : ('GET' as const),
    path: pathOf(guard, end),
    guard,
    end,
  })),
)

export type Options = Omit<GateOptions, 'identify' | 'authenticate'>

/** All roads are on. */
export function gateOptions(options: Options): Options {
  return {
    tickets: { perSession: 1000 },
    subprotocolTokens: ['gate101', 'kubernetes', 'phoenix', 'openai', 'bearer'],
    dangerouslyAllowQueryToken: true,
    limits: { waitingPerAddress: 100 },
    ...options,
    firstMessage: {
      paths: GUARDS.map((guard) => pathOf(guard, 'talk')),
      headers: ['authorization', 'x-api-key', 'cookie'],
      ...options.firstMessage,
    },
  }
}

const CREDENTIALS = ['authorization', 'cookie', 'x-api-key']

/** One run of a guard. */
export interface Ran {
  readonly guard: Guard
  /** The function itself. */
  readonly middleware: object
  readonly method: string | undefined
  readonly url: string | undefined
  readonly phase: string | undefined
  /** Credential headers of the request, by lower-case name. */
  readonly saw: Readonly<Record<string, string>>
}

/** What the guards of an app were run with. */
export class GuardLog {
  readonly ran: Ran[] = []
  /** Messages that the app's handler was given. */
  readonly heard: string[] = []
  phaseOf: (req: IncomingMessage) => string | undefined = () => undefined

  /** What the handler of every endpoint does. */
  greet(
    socket: { send(text: string): void; on(event: 'message', listener: (data: unknown) => void): unknown },
    subject: string,
    user: string | undefined,
  ): void {
    socket.send(hello(subject, user))
    socket.on('message', (data) => this.heard.push(String(data)))
  }

  /** The same middleware, unchanged: each call of it is noted. */
  watched<Middleware extends (...args: never[]) => unknown>(
    guard: Guard,
    middleware: Middleware,
    requestOf: (args: Parameters<Middleware>) => IncomingMessage,
  ): Middleware {
    return new Proxy(middleware, {
      apply: (target, self, args) => {
        const req = requestOf(args as Parameters<Middleware>)
        const { method, url } = req
        this.ran.push({ guard, middleware, method, url, phase: this.phaseOf(req), saw: credentialsIn(req.rawHeaders) })
        return Reflect.apply(target, self, args)
      },
    })
  }
}

/** Of a header that is there twice, both values. */
export function credentialsIn(rawHeaders: readonly string[]): Record<string, string> {
  const saw: Record<string, string> = {}
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = [rawHeaders[at]?.toLowerCase(), rawHeaders[at + 1]]
    if (CREDENTIALS.includes(name)) saw[name] = name in saw ? `${saw[name]}\n${value}` : value
  }
  return saw
}

export interface RoadsApp {
  readonly server: Server
  readonly gate: Pick<Gate, 'on' | 'connections'>
  readonly log: GuardLog
  readonly people: People
  /** The records of the session store as text, by their keys. */
  sessions(): Readonly<Record<string, string>>
  readonly close?: () => Promise<unknown>
}

/** The same app with one framework and the middlewares that its users take. */
export interface RoadsAdapter {
  readonly name: string
  /** The middleware that decides, as the docs name it; undefined where there is none for this kind. */
  readonly middleware: Readonly<Record<Kind, string | undefined>>
  build(options?: Options): Promise<RoadsApp>
}

/** What a client is told first on an open WebSocket. */
export interface Hello {
  /** Of `connection.identity`. */
  readonly subject: string
  /** Whom the middleware found. */
  readonly user: string | undefined
}

export const hello = (subject: string, user: string | undefined): string =>
  JSON.stringify({ subject, user } satisfies Hello)

/** Who may log in at `POST /login?user=`: the session is what is tested, not the form. */
export function loginOf(url: string | undefined): string {
  return new URLSearchParams((url ?? '').split('?')[1]).get('user') ?? ''
}
