import type { EventEmitter } from 'node:events'
import type { Clock } from '../core/clock.ts'
import { valueOf, type Handshake } from '../core/handshake.ts'
import type { Refuse } from '../core/decision.ts'
import { createWebSocketEnder } from '../connections/enders.ts'
import { startHeartbeat } from '../connections/heartbeat.ts'
import { createRegistry } from '../connections/registry.ts'
import { createRenewals } from '../connections/renewals.ts'
import { readSecret, type Keys } from '../credentials/keys.ts'
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
import { createCluster } from './cluster.ts'
import { readCluster, readClusterLoss } from './cluster-options.ts'
import { createEmit, isHeard } from './emit.ts'
import { createLife } from './create-life.ts'
import { forget } from './life.ts'
import { readHeartbeat } from './life-options.ts'
import { createLoggedOut } from './logged-out.ts'
import { emitEnded } from './report.ts'
import { watchStore } from './session-store.ts'
import { keepState, type GateState } from './state.ts'

const MAX_CREDENTIAL_BYTES = 8192

/** Makes what a gate owns. `gate` is the object that stands for it. */
export function createState<Context, Claims>(
  gate: object,
  given: GateOptions<Context, Claims>,
  events: EventEmitter,
): GateState {
  // What the app's functions get and return is the app's own; from here on nothing looks into it.
  const options = given as unknown as GateOptions<never>
  checkOptions(options)
  const limits = readLimits(options.limits)
  const schemes = readSchemes(options.authenticate)
  const firstMessage = readFirstMessage(options.firstMessage)
  const credentialHeaders = readCredentialHeaders(options.credentialHeaders, schemes, firstMessage)
  const trust = createProxyTrust(options.trustedProxies)
  const clock = readClock(options.clock)
  const emit = createEmit(events)
  const keys = readSecret(options.secret)
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
    ...createRoads(options, firstMessage, clock, keys),
    ...createLife(() => state, options, clock, keys),
    waitingCaps: createCaps({ total: limits.waiting, perAddress: limits.waitingPerAddress }),
    waiting: new Set(),
    waiter: createWaiter(clock),
    accepter: createAccepter(limits.message),
    registry: createRegistry((connection) => {
      forget(state, connection)
      emitEnded(state, connection)
    }),
    renewals: createRenewals(clock, limits.renewalsPerMinute),
    loggedOut: createLoggedOut(clock, 3 * limits.deadline),
    webSocketEnder: createWebSocketEnder(clock),
    attachments: new Set(),
    byRequest: new WeakMap(),
    emit,
    hears: (type) => isHeard(events, type),
    warn: createWarn(emit),
    routes: 0,
    protocols: new Set(),
    libraries: 0,
    engines: 0,
    renewOn: false,
    closing: false,
    store: undefined,
    stopHeartbeat: () => undefined,
    cluster: undefined,
  }
  keepState(state)
  start(state, options, keys)
  return state
}

function start(state: GateState, options: GateOptions<never>, keys: Keys): void {
  const { sessionStore, heartbeat, cluster, onClusterLoss, dangerouslyAcceptWhenStale, secret } = options
  const every = readHeartbeat(heartbeat)
  const policy = readClusterLoss(onClusterLoss, dangerouslyAcceptWhenStale)
  const engine = readCluster(cluster, secret !== undefined)
  if (sessionStore !== undefined) state.store = watchStore(state, sessionStore)
  const { clock, registry, limits } = state
  if (engine !== undefined) {
    state.cluster = createCluster(() => state, engine, keys, policy)
    state.cluster.node.start()
  }
  if (every !== undefined) state.stopHeartbeat = startHeartbeat(clock, registry, { every, buffered: limits.buffered })
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
  keys: Keys,
): Pick<GateState, 'firstMessage' | 'subprotocolForms' | 'queryToken' | 'tickets' | 'ticketsOn' | 'readable'> {
  const { lifetime, perSession } = readTickets(options.tickets, options.secret !== undefined)
  return {
    firstMessage,
    subprotocolForms: readSubprotocolForms(options.subprotocolTokens),
    queryToken: readQueryToken(options.dangerouslyAllowQueryToken),
    tickets: createTickets({
      keys,
      store: options.tickets?.store ?? options.cluster?.tickets ?? memoryTicketStore(clock),
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
