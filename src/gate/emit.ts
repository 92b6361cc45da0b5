import { channel, type Channel } from 'node:diagnostics_channel'
import type { EventEmitter } from 'node:events'
import { textOf } from '../core/errors.ts'
import type { GateEvent } from '../core/events.ts'
import type { GateState } from './state.ts'

/** Listeners of this one hear all. */
export const ANY = '*'

/** One for all gates of the process, as tools that watch it expect. */
const channels = new Map<GateEvent['type'], Channel>()

function channelOf(type: GateEvent['type']): Channel {
  const known = channels.get(type)
  if (known !== undefined) return known
  const made = channel(`gate101:${type}`)
  channels.set(type, made)
  return made
}

/** Most apps listen to few events: the others are never made. */
export function isHeard(events: EventEmitter, type: GateEvent['type']): boolean {
  return events.listenerCount(type) > 0 || events.listenerCount(ANY) > 0 || channelOf(type).hasSubscribers
}

export function createEmit(events: EventEmitter): GateState['emit'] {
  return (type, make) => {
    if (!isHeard(events, type)) return
    try {
      const event = make()
      for (const name of [type, ANY]) for (const listener of events.listeners(name)) tell(type, listener, event)
      // Who throws there is heard as an uncaught exception of its own, in a later turn.
      channelOf(type).publish(event)
    } catch (error) {
      warn(type, error)
    }
  }
}

/** A listener's mistake must not leave a handshake without its answer, nor the other listeners without the event. */
function tell(type: string, listener: Function, event: GateEvent): void {
  try {
    Reflect.apply(listener, undefined, [event])
  } catch (error) {
    warn(type, error)
  }
}

function warn(type: string, error: unknown): void {
  process.emitWarning(`A listener of the event "${type}" threw: ${textOf(error)}`, 'Gate101Warning')
}
