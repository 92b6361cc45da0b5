import { EventEmitter } from 'node:events'
import { CLOSE_CODES } from '../core/close-codes.ts'
import type { Clock } from '../core/clock.ts'
import { valueOf, type Handshake } from '../core/handshake.ts'
import type { Refuse } from '../core/decision.ts'
import { createWebSocketEnder } from '../connections/enders.ts'
import { createRegistry } from '../connections/registry.ts'
import { readSecret } from '../credentials/keys.ts'
import { readSubprotocolForms } from '../credentials/subprotocol.ts'
import { memoryTicketStore } from '../credentials/ticket-store.ts'
import { createTickets } from '../credentials/ticket.ts'
import { createCaps } from '../handshake/caps.ts'
import { checkCookies } from '../handshake/cookies.ts'
import { createHostCheck } from '../handshake/host.ts'
import { createOriginCheck } from '../handshake/origin.ts'
import { presentedCredentials } from '../handshake/presented.ts'
import { checkCredentialHeaders, checkShape } from '../handshake/shape.ts'
import { checkTarget } from '../handshake/target.ts'
import { createProxyTrust, type ProxyTrust } from '../handshake/trust.ts'
import { createAccepter } from '../upgrade/accept.ts'
import { createWaiter } from '../upgrade/waiting.ts'
import {
  checkOptions,
  MAX_HEADERS,
  readClock,
  readCredentialHeaders,
  readLimits,
  readSchemes,
  type GateOptions,
} from './options.ts'
import {
  readFirstMessage,
  readQueryToken,
  readRefuse,
  readSessionCookies,
  readTickets,
  type FirstMessagePolicy,
} from './road-options.ts'
import { emitEnded } from './report.ts'
import { keepState, type GateState } from './state.ts'

const MAX_CREDENTIAL_BYTES = 8192

/** Makes what a gate owns. `gate` is the object that stands for it. */
export function createState<Context, Claims>(
  gate: object,
  options: GateOptions<Context, Claims>,
  events: EventEmitter,
): GateState {
  checkOptions(options)
  const limits = readLimits(options.limits)
  const schemes = readSchemes(options.authenticate)
  const firstMessage = readFirstMessage(options.firstMessage)
  const credentialHeaders = readCredentialHeaders(options.credentialHeaders, schemes, firstMessage)
  const trust = createProxyTrust(options.trustedProxies)
  const clock = readClock(options.clock)
  const emit = createEmit(events)
  const state: GateState = {
    gate,
    clock,
    limits,
    identify: options.identify as GateState['identify'],
    schemes,
    credentialHeaders,
    trust,
    caps: createCaps({ total: limits.handshakes, perAddress: limits.handshakesPerAddress }),
    ...createChecks(options, credentialHeaders, trust),
    ...createRoads(options, firstMessage, clock),
    waitingCaps: createCaps({ total: limits.waiting, perAddress: limits.waitingPerAddress }),
    waiting: new Set(),
    waiter: createWaiter(clock),
    accepter: createAccepter(limits.message),
    registry: createRegistry((connection) => {
      emitEnded(emit, clock, connection)
    }),
    webSocketEnder: createWebSocketEnder(clock),
    attachments: new Set(),
    byRequest: new WeakMap(),
    emit,
    hears: (type) => events.listenerCount(type) > 0,
    warn: createWarn(emit),
    nextId: 1,
    routes: 0,
    protocols: new Set(),
    libraries: 0,
    engines: 0,
    closing: false,
  }
  keepState(state)
  return state
}

function createEmit(events: EventEmitter): GateState['emit'] {
  return (type, make) => {
    // Most apps listen to few events: the others cost nothing.
    if (events.listenerCount(type) === 0) return
    try {
      events.emit(type, make())
    } catch (error) {
      // A listener's mistake must not leave a handshake without its answer.
      process.emitWarning(`A listener of the event "${type}" threw: ${String(error)}`, 'Gate101Warning')
    }
  }
}

function createChecks(
  options: Pick<GateOptions, 'origins' | 'hosts' | 'sessionCookies'>,
  credentialHeaders: readonly string[],
  trust: ProxyTrust,
): Pick<GateState, 'checkForm' | 'checkHost' | 'checkOrigin' | 'checkPlain' | 'checkEndpoint'> {
  const shape = {
    singleHeaders: credentialHeaders.filter((name) => name !== 'cookie'),
    maxHeaders: MAX_HEADERS,
    maxCredentialBytes: MAX_CREDENTIAL_BYTES,
  }
  const cookies = readSessionCookies(options.sessionCookies)
  const origin = createOriginCheck({ origins: options.origins, trust })
  const host = createHostCheck({ hosts: options.hosts ?? [], originHosts: origin.hosts, trust })
  const common = (handshake: Handshake): Refuse | undefined => checkTarget(handshake.target) ?? host(handshake)
  const checkOrigin = (handshake: Handshake, carried: boolean): Refuse | undefined => {
    const presented = presentedCredentials(handshake, credentialHeaders)
    return (
      origin.check(handshake, carried ? { ...presented, explicit: ['carried'] } : presented) ??
      (presented.cookie ? checkCookies(handshake, cookies) : undefined)
    )
  }
  const checkPlainOrigin = (handshake: Handshake): Refuse | undefined =>
    // Browsers send no Origin with a same-origin GET; one that is there must pass all the same.
    valueOf(handshake, 'origin') === undefined ? checkCookies(handshake, cookies) : checkOrigin(handshake, false)
  return {
    checkForm: (handshake) => checkShape(handshake, shape) ?? common(handshake),
    checkHost: host,
    checkOrigin,
    checkPlain: (handshake) => common(handshake) ?? checkPlainOrigin(handshake),
    checkEndpoint: (handshake) =>
      host(handshake) ?? checkPlainOrigin(handshake) ?? checkCredentialHeaders(handshake, shape),
  }
}

function createRoads(
  options: GateOptions<never>,
  firstMessage: FirstMessagePolicy | undefined,
  clock: Clock,
): Pick<GateState, 'firstMessage' | 'subprotocolForms' | 'queryToken' | 'tickets' | 'ticketsOn' | 'readable'> {
  const { lifetime, perSession } = readTickets(options.tickets, options.secret !== undefined)
  return {
    firstMessage,
    subprotocolForms: readSubprotocolForms(options.subprotocolTokens),
    queryToken: readQueryToken(options.dangerouslyAllowQueryToken),
    tickets: createTickets({
      keys: readSecret(options.secret),
      store: options.tickets?.store ?? memoryTicketStore(clock),
      clock,
      lifetime,
      perOwner: perSession,
    }),
    ticketsOn: options.tickets !== undefined,
    readable: readRefuse(options.refuse),
  }
}

function createWarn(emit: GateState['emit']): (code: string, message: string) => void {
  const said = new Set<string>()
  return (code, message) => {
    if (said.has(code)) return
    said.add(code)
    emit('warning', () => ({ type: 'warning', time: new Date(), code, message }))
    process.emitWarning(message, { type: 'Gate101Warning', code })
  }
}

/** Refuses new handshakes with 503 and ends what is open with 1012, spread over `drain` milliseconds. */
export async function closeState(state: GateState, drain: number): Promise<void> {
  state.closing = true
  for (const end of state.waiting) end()
  const open = [...state.registry.values()]
  const step = open.length === 0 ? 0 : drain / open.length
  const gone = open.map(
    (connection, n) =>
      new Promise<void>((resolve) => {
        connection.on('end', () => {
          resolve()
        })
        const end = (): void => connection.endWith(CLOSE_CODES.restart, 'restart')
        if (step === 0) end()
        else setTimeout(end, step * n)
      }),
  )
  await Promise.all(gone)
}
