import { credentialFor } from './credential.ts'
import { DialError, type Fail } from './dial-error.ts'
import { authenticate } from './first-message.ts'
import type { CloseFacts, Link } from './link.ts'
import { closeError, type Said } from './refusal.ts'
import type { Tries } from './reconnect.ts'
import type { DialRequest, DialWhy } from './request.ts'
import { chooseRoad, maySelect, planFor, READABLE_REFUSAL, type Plan } from './road.ts'
import type { Runtime } from './runtime.ts'
import { mustBePrivate } from './http.ts'
import { urlWithTicket } from './ticket.ts'

/** An open WebSocket that its server has let in. */
export interface Opened {
  readonly link: Link
  /** The answer to its first message, where there was one. */
  readonly granted: Said | undefined
}

/**
 * One attempt: credential, road, ticket, handshake, first message.
 * @throws DialError
 */
export async function attempt(
  runtime: Runtime,
  request: DialRequest,
  why: DialWhy,
  tries: Tries,
  stop: AbortSignal,
): Promise<Opened> {
  const { fail, timeout } = request
  const deadline = new AbortController()
  const timer = setTimeout(() => deadline.abort(), timeout)
  const signal = AbortSignal.any([stop, deadline.signal])
  try {
    signal.throwIfAborted()
    return await open(runtime, request, why, tries, signal)
  } catch (error) {
    // A refusal that was being read says more than that the time is up.
    const isAnswer = error instanceof DialError && (error.code === 'refused' || !signal.aborted)
    if (stop.aborted) throw fail('aborted', {}, { cause: stop.reason })
    if (signal.aborted && !isAnswer) throw fail('timeout', { what: String(timeout) })
    throw error
  } finally {
    clearTimeout(timer)
  }
}

async function open(
  runtime: Runtime,
  request: DialRequest,
  why: DialWhy,
  tries: Tries,
  signal: AbortSignal,
): Promise<Opened> {
  const { fail, ticket } = request
  const credential = await credentialFor(runtime, request, why, tries, signal)
  if (credential === undefined && tries.hadCredential) throw fail('no_credentials')
  tries.hadCredential = credential !== undefined
  tries.canRenew = request.credentials !== undefined
  mustBePrivate(request, request.url, credential)
  const road = chooseRoad(request, credential, runtime)
  const headers = credential?.headers
  let plan = planFor(request, road, credential, runtime.canSendHeaders)
  if (road === 'ticket' && ticket !== undefined) {
    plan = { ...plan, url: await urlWithTicket(request, ticket, headers, signal) }
    tries.canRenew = true
  }
  const link = await runtime.connect(request, plan, headers ?? {}, signal).catch(async (error: DialError) => {
    if (error.code !== 'unknown' || runtime.explain === undefined) throw error
    throw await runtime.explain(request, road, headers, signal)
  })
  const drop = (): void => link.drop()
  signal.addEventListener('abort', drop)
  try {
    await checkSelected(link, plan, fail)
    return { link, granted: await authenticate(link, plan.message, fail) }
  } finally {
    signal.removeEventListener('abort', drop)
  }
}

/** A refusal in the clothes of an open WebSocket, and a server that would show a credential, are no open WebSocket. */
async function checkSelected(link: Link, plan: Plan, fail: Fail): Promise<void> {
  const { protocol } = link.socket
  if (maySelect(plan, protocol)) return
  if (protocol !== READABLE_REFUSAL) {
    link.drop()
    throw fail('bad_response', { what: 'subprotocol' })
  }
  await new Promise((_resolve, reject) => {
    const close = ({ code, reason }: CloseFacts): void => reject(closeError(fail, 'handshake', code, reason))
    link.take({ close })
  })
}
