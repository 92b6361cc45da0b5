import { EventEmitter } from 'node:events'
import { CLOSE_CODES } from '../core/close-codes.ts'
import { systemClock } from '../core/clock.ts'
import { valueOf, type Handshake } from '../core/handshake.ts'
import type { Refuse } from '../core/decision.ts'
import { createWebSocketEnder } from '../connections/enders.ts'
import { createRegistry } from '../connections/registry.ts'
import { createCaps } from '../handshake/caps.ts'
import { createHostCheck } from '../handshake/host.ts'
import { createOriginCheck } from '../handshake/origin.ts'
import { presentedCredentials } from '../handshake/presented.ts'
import { checkShape } from '../handshake/shape.ts'
import { checkTarget } from '../handshake/target.ts'
import { createProxyTrust, type ProxyTrust } from '../handshake/trust.ts'
import { createAccepter } from '../upgrade/accept.ts'
import {
  checkOptions,
  MAX_HEADERS,
  readCredentialHeaders,
  readLimits,
  readSchemes,
  type GateOptions,
} from './options.ts'
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
  const credentialHeaders = readCredentialHeaders(options.credentialHeaders, schemes)
  const trust = createProxyTrust(options.trustedProxies)
  const clock = systemClock
  const emit: GateState['emit'] = (type, make) => {
    // Most apps listen to few events: the others cost nothing.
    if (events.listenerCount(type) === 0) return
    try {
      events.emit(type, make())
    } catch (error) {
      // A listener's mistake must not leave a handshake without its answer.
      process.emitWarning(`A listener of the event "${type}" threw: ${String(error)}`, 'Gate101Warning')
    }
  }
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
    accepter: createAccepter(limits.message),
    registry: createRegistry((connection) => {
      const { id, reason = 'closed', cause } = connection
      emit('ended', () => ({
        type: 'ended',
        time: new Date(clock.now()),
        connection: id,
        reason,
        ...(cause === undefined ? {} : { cause }),
      }))
    }),
    webSocketEnder: createWebSocketEnder(clock),
    attachments: new Set(),
    byRequest: new WeakMap(),
    emit,
    hears: (type) => events.listenerCount(type) > 0,
    warn: createWarn(emit),
    nextId: 1,
    routes: 0,
    engines: 0,
    closing: false,
  }
  keepState(state)
  return state
}

function createChecks(
  options: Pick<GateOptions, 'origins' | 'hosts'>,
  credentialHeaders: readonly string[],
  trust: ProxyTrust,
): Pick<GateState, 'check' | 'checkPlain'> {
  const shape = {
    singleHeaders: credentialHeaders.filter((name) => name !== 'cookie'),
    maxHeaders: MAX_HEADERS,
    maxCredentialBytes: MAX_CREDENTIAL_BYTES,
  }
  const origin = createOriginCheck({ origins: options.origins, trust })
  const host = createHostCheck({ hosts: options.hosts ?? [], originHosts: origin.hosts, trust })
  const common = (handshake: Handshake): Refuse | undefined => checkTarget(handshake.target) ?? host(handshake)
  const checkOrigin = (handshake: Handshake): Refuse | undefined =>
    origin.check(handshake, presentedCredentials(handshake, credentialHeaders))
  return {
    check: (handshake) => checkShape(handshake, shape) ?? common(handshake) ?? checkOrigin(handshake),
    // Browsers send no Origin with a same-origin GET; one that is there must pass all the same.
    checkPlain: (handshake) =>
      common(handshake) ?? (valueOf(handshake, 'origin') === undefined ? undefined : checkOrigin(handshake)),
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
