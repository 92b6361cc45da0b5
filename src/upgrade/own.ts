import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock } from '../core/clock.ts'

/** A raw socket between the `upgrade` event and the decision. */
export interface OwnedSocket {
  readonly socket: Duplex
  /** The peer has reset, half-closed or closed the connection. */
  readonly gone: boolean
  /** Called at once when the peer goes, or when the deadline passes; the last one registered counts. */
  whenLost(call: (why: 'gone' | 'deadline') => void): void
  /** Takes the watch off before the socket is handed over. Its errors stay handled. */
  release(): void
}

/**
 * The first statement of every upgrade, before any await: Node has taken its own listeners off the socket, so an error
 * that nobody hears would end the process.
 */
export function ownSocket(socket: Duplex, deadline: number, clock: Clock): OwnedSocket {
  let lost: ((why: 'gone' | 'deadline') => void) | undefined
  let gone = false
  const onGone = (): void => {
    if (gone) return
    gone = true
    lost?.('gone')
  }
  socket.on('error', survive)
  socket.once('close', onGone)
  socket.once('end', onGone)
  const cancel = clock.after(deadline, () => lost?.('deadline'))
  return {
    socket,
    get gone(): boolean {
      return gone || socket.destroyed
    },
    whenLost(call): void {
      lost = call
    },
    release(): void {
      cancel()
      lost = undefined
      socket.off('close', onGone)
      socket.off('end', onGone)
    },
  }
}

/** Whether an earlier request on this connection still waits for its answer, which Node would write into the WebSocket. */
export function owesAnswer(req: IncomingMessage): boolean {
  return Boolean(Reflect.get(req.socket, '_httpMessage'))
}

/** Hears a socket's error. What has to be done about it is done on its 'close'. */
export function survive(): void {
  // Nothing to do: 'close' follows.
}
