import type { IncomingMessage, ServerResponse } from 'node:http'
import { systemClock, type Clock } from '../core/clock.ts'
import type { Refuse } from '../core/decision.ts'
import type { Identity } from '../core/identity.ts'
import { refusalMessage, type RefusalMessage } from '../core/refusal-message.ts'
import type { Scheme, SchemeRequest } from '../core/scheme.ts'
import { pairsOf, peerOf } from '../core/handshake.ts'
import { Waiting } from '../core/waiting.ts'
import { runSchemes } from './combine.ts'
import { checkNumber, checkOptions, configError, isList } from './options.ts'

const DEADLINE = 10_000

/** Options of {@link createAuthenticate}. */
export interface AuthenticateOptions {
  /** Milliseconds until an undecided request is refused with `handshake_timeout`, 1 to 600000. Default 10000. */
  readonly deadline?: number
  readonly clock?: Clock
  /** An identity that was found for this very request before; the schemes are not asked again. */
  readonly known?: (req: IncomingMessage) => Identity | undefined
  /** Whether an identity that was found is refused all the same. */
  readonly refuses?: (identity: Identity) => Refuse | undefined
  /** Is told of an identity that was found, so that it is `known` to what comes behind. */
  readonly found?: (req: IncomingMessage, identity: Identity) => void
}

/** A middleware as Connect, Express and plain `node:http` call it. */
export type Authenticate = (
  req: IncomingMessage,
  res: ServerResponse,
  next: (error?: unknown) => void,
) => void | Promise<void>

/**
 * The schemes as HTTP middleware: the same verdict as on a handshake. Lets the request in with `req.identity` set, or
 * writes the refusal, the same JSON body as a refused handshake gets.
 *
 * @throws Gate101Error `GATE101_CONFIG` when there is no scheme.
 * @example
 * ```ts
 * app.use('/api', createAuthenticate([apiKey({ keys })]))
 * ```
 */
export function createAuthenticate(schemes: readonly Scheme[], options: AuthenticateOptions = {}): Authenticate {
  if (!isList(schemes) || schemes.length === 0) throw configError('authenticate needs at least one scheme.')
  checkOptions('authenticate()', options, ['deadline', 'clock', 'known', 'refuses', 'found'])
  const deadline = checkNumber('deadline', options.deadline, { min: 1, max: 600_000, fallback: DEADLINE })
  const clock = options.clock ?? systemClock
  return (req, res, next) => {
    const settle = (outcome: Identity | RefusalMessage): void => {
      if ('body' in outcome) writeRefusal(res, outcome)
      else letIn(req, outcome, next)
    }
    return authenticateRequest(schemes, req, res, { ...options, deadline, clock }).then(settle)
  }
}

/** Asks the schemes about a plain request: who it is, or the refusal, ready to be written. Never rejects. */
export async function authenticateRequest(
  schemes: readonly Scheme[],
  req: IncomingMessage,
  res: ServerResponse,
  options: AuthenticateOptions,
): Promise<Identity | RefusalMessage> {
  const known = options.known?.(req)
  if (known !== undefined) return known
  const clock = options.clock ?? systemClock
  const waiting = new Waiting()
  const abort = (): void => {
    waiting.abort()
  }
  const cancel = clock.after(options.deadline ?? DEADLINE, abort)
  res.once('close', abort)
  const request: SchemeRequest = { headers: pairsOf(req.rawHeaders), peer: peerOf(req.socket) }
  const outcome = await runSchemes(schemes, request, waiting, clock)
  cancel()
  res.off('close', abort)
  if (outcome.type === 'refuse') return refusalMessage(outcome.refuse)
  const refused = options.refuses?.(outcome.identity)
  if (refused !== undefined) return refusalMessage(refused)
  options.found?.(req, outcome.identity)
  return outcome.identity
}

function letIn(req: IncomingMessage, identity: Identity, next: (error?: unknown) => void): void {
  Object.defineProperty(req, 'identity', { value: identity, writable: true, enumerable: true, configurable: true })
  next()
}

function writeRefusal(res: ServerResponse, { status, headers, body }: RefusalMessage): void {
  if (res.headersSent || res.writableEnded || res.destroyed) {
    res.destroy()
    return
  }
  res.statusCode = status
  for (const [name] of headers) res.removeHeader(name)
  for (const [name, value] of headers) res.appendHeader(name, value)
  res.end(body)
}
