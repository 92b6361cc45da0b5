import { refuse, type Refuse } from '../core/decision.ts'
import type { Handshake } from '../core/handshake.ts'
import type { RoadResult } from './road.ts'
import { isB64token } from './values.ts'

const MAX_VALUE = 8192
const TICKET = 'ticket'

/**
 * Looks for a credential in the query and takes its parameter out, byte for byte.
 *
 * @param name - of the parameter, decoded. What is wrong with `ticket` is an `invalid_ticket`, with any other a `bad_token`.
 */
export function findQuery(handshake: Handshake, name: string): RoadResult {
  const { target } = handshake
  const at = target.indexOf('?')
  if (at < 0) return { type: 'absent' }
  const parameters = target.slice(at + 1).split('&')
  const [mine, ...more] = parameters.filter((parameter) => nameOf(parameter) === name)
  if (mine === undefined) return { type: 'absent' }
  const credential = more.length > 0 ? undefined : valueOf(mine)
  if (credential === undefined) return wrong(name)
  const rest = parameters.filter((parameter) => parameter !== mine)
  const query = rest.length === 0 ? '' : `?${rest.join('&')}`
  return { type: 'found', credential, handshake: { ...handshake, target: `${target.slice(0, at)}${query}` } }
}

function wrong(name: string): Refuse {
  return refuse(name === TICKET ? 'invalid_ticket' : 'bad_token')
}

/** As the parsers of forms read it; a byte beyond ASCII can be in no name that is looked for. */
function nameOf(parameter: string): string {
  const [name = ''] = parameter.split('=', 1)
  if (!name.includes('%') && !name.includes('+')) return name
  return name
    .replaceAll('+', ' ')
    .replaceAll(/%[0-9A-Fa-f]{2}/g, (triplet) => String.fromCharCode(Number.parseInt(triplet.slice(1), 16)))
}

/** A `+` stays one: it belongs to `b64token`, and a space does not. */
function valueOf(parameter: string): string | undefined {
  const at = parameter.indexOf('=')
  if (at < 0) return undefined
  try {
    const value = decodeURIComponent(parameter.slice(at + 1))
    return value.length <= MAX_VALUE && isB64token(value) ? value : undefined
  } catch {
    return undefined
  }
}
