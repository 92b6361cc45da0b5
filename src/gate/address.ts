import type { Handshake } from '../core/handshake.ts'
import { addressKey, clientAddress } from '../handshake/trust.ts'
import type { GateState } from './state.ts'
import type { Taken } from './taken.ts'

/** The address that a client counts under; undefined where none can be believed (rule W1). */
export function clientKey(state: GateState, handshake: Handshake): string | undefined {
  const client = clientAddress(handshake, state.trust)
  if (client.believable) return addressKey(client.address)
  state.warn(
    'unlisted_proxy',
    'A loopback or private peer sends forwarding headers but is not listed in trustedProxies; limits per address do not apply to it.',
  )
  return undefined
}

/** The address that an open connection counts for; undefined where connections are not counted by address. */
export function addressOf(state: GateState, { handshake }: Pick<Taken, 'handshake'>): string | undefined {
  return state.limits.connectionsPerAddress === Infinity ? undefined : clientKey(state, handshake)
}
