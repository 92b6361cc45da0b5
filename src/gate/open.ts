import type { EventEmitter } from 'node:events'
import type { WebSocket } from 'ws'
import { refuse, type Accept, type Refuse } from '../core/decision.ts'
import type { Duplex } from 'node:stream'
import { ENDS, kindOfStatus } from '../core/end.ts'
import { Gate101Error } from '../core/errors.ts'
import { LiveConnection, type Kin } from '../connections/connection.ts'
import { rawSocketEnder, type Ender } from '../connections/enders.ts'
import { isThenable } from '../core/thenable.ts'
import { holdMessages } from '../connections/hold.ts'
import type { Mark } from '../door/marks.ts'
import { deliverTo, hearErrorsOf, listensItself, mute, slipHeaders, type Deliver } from '../upgrade/handover.ts'
import { headersFor101 } from '../upgrade/headers.ts'
import { addressOf } from './address.ts'
import { provable, retain, trustIn, type Provable } from './facts.ts'
import { begin } from './life.ts'
import type { Taker } from './routes.ts'
import type { GateState } from './state.ts'
import { emitAborted, emitAccepted, emitEnded, emitRefused } from './report.ts'
import type { Opened, Taken } from './taken.ts'
import { answerAuthMessages } from './auth-messages.ts'
import { authError, authOk } from './verdict.ts'

const toSoleListener = deliverTo(undefined)

/** @param no - refuses, where nobody could take the socket and nothing was written yet. */
export function open(
  state: GateState,
  taken: Taken,
  decision: Accept,
  mark: Mark | undefined,
  no: (refusal: Refuse) => void,
): void {
  const taker = mark?.taker as Taker | undefined
  if (mark !== undefined && taker?.type === 'handler') return openHandler(state, taken, decision, mark, taker)
  const deliver = taker?.type === 'library' ? taker.deliver : toSoleListener
  const run =
    mark === undefined
      ? deliver
      : (...args: Parameters<Deliver>) => mark.scope.runInAsyncScope(deliver, undefined, ...args)
  openLibrary(state, taken, decision, run, no, taker?.kin)
  if (taken.attachment.partial && listensItself(deliver)) warnOfOtherPaths(state)
}

function warnOfOtherPaths(state: GateState): void {
  state.warn(
    'unheld_paths',
    'A library that listens to the upgrade event itself also takes handshakes outside of `paths`, which nobody guards. Leave `paths` out, or keep the library off the event (ws: { noServer: true }; a proxy: without `ws: true`) and write accept(library).',
  )
}

let lastNumber = 0

/** Of all gates of this process: ids name one connection. */
function nextNumber(): number {
  lastNumber += 1
  return lastNumber
}

/** A connection whose socket is still to be handed over. */
interface Opening {
  readonly connection: LiveConnection
  readonly proof: Provable
}

function connect<Carrier>(
  state: GateState,
  taken: Taken,
  decision: Accept,
  carrier: Carrier,
  ender: Ender<Carrier>,
  kin: Kin | undefined,
): Opening {
  const { order, owned, attachment, handshake, forgotten } = taken
  const proof = provable(handshake, attachment, forgotten)
  const connection = LiveConnection.create({
    number: nextNumber(),
    identity: decision.identity,
    order,
    now: state.clock.now(),
    carrier,
    ender,
    socket: owned.socket,
    kin: kin ?? state.kin,
    trust: trustIn(state, proof),
  })
  const address = addressOf(state, taken)
  if (address !== undefined) connection.address = address
  state.byRequest.set(taken.req, connection)
  return { connection, proof }
}

/** It is open: from here on it has a life. */
function register(state: GateState, taken: Taken, carrier: EventEmitter, { connection, proof }: Opening): void {
  state.registry.add(carrier, connection)
  // The app may have ended it before its library had opened it.
  const isOpen = connection.reason === undefined
  if (isOpen) retain(state, connection, proof)
  emitAccepted(state, taken, connection)
  if (isOpen) begin(state, connection)
  else emitEnded(state, connection)
}

function openHandler(
  state: GateState,
  taken: Taken,
  decision: Accept,
  mark: Mark,
  taker: Extract<Taker, { type: 'handler' }>,
): void {
  const { owned, req, head, opened } = taken
  const headers = headersFor101(decision.headers)
  owned.release()
  const opening = connect(state, taken, decision, owned.socket, rawSocketEnder, taker.kin)
  const { connection } = opening
  if (opened !== undefined) greet(state, owned.socket, opened, connection)
  const ws = state.accepter.accept(req, owned.socket, head, { headers, protocols: taker.protocols })
  if (ws === undefined) {
    owned.socket.destroy()
    return emitAborted(state, taken)
  }
  connection.endBy(ws, state.webSocketEnder)
  register(state, taken, ws, opening)
  answerAuthMessages(state, taken, ws, connection)
  if (connection.reason === undefined) serve(ws, connection, mark, taker)
}

/** The client has had its 101: in the place of a second one it gets the answer to its message. */
function greet(state: GateState, socket: Duplex, { waiting }: Opened, connection: LiveConnection): void {
  const switched = (): void => {
    waiting.send(authOk(state, connection, true))
  }
  slipHeaders(socket, [], { silent: true, switched, refused: () => undefined })
}

/** Apart from the above, so that nothing which lives as long as the connection holds on to its request. */
function serve(
  ws: WebSocket,
  connection: LiveConnection,
  mark: Mark,
  taker: Extract<Taker, { type: 'handler' }>,
): void {
  const failed = (cause: unknown): void => {
    connection.endWith(ENDS.handlerFailed, cause)
  }
  try {
    const returned = mark.scope.runInAsyncScope(() => taker.handler(ws, mark.context, connection))
    if (!isThenable(returned)) return
    // Nothing has come yet: ws reads its socket from the next turn on.
    const hold = ws.listenerCount('message') > 0 ? undefined : holdMessages(ws, () => connection.reason !== undefined)
    returned.then(() => hold?.settle(), failed)
  } catch (error) {
    failed(error)
  }
}

function openLibrary(
  state: GateState,
  taken: Taken,
  decision: Accept,
  deliver: Deliver,
  no: (refusal: Refuse) => void,
  kin: Kin | undefined,
): void {
  const { owned, req, head, attachment, opened } = taken
  const { socket } = owned
  owned.release()
  const opening = connect(state, taken, decision, socket, rawSocketEnder, kin)
  const { connection } = opening
  let answered = false
  const unhook = slipHeaders(socket, headersFor101(decision.headers), {
    silent: opened !== undefined,
    switched(): void {
      answered = true
      opened?.waiting.send(authOk(state, connection, false))
      cancel()
      socket.off('close', onClose) // it would hold on to the request for as long as the connection lives
      if (socket.destroyed) return emitAborted(state, taken) // its 'close' has been: nothing would take it off again
      register(state, taken, socket, opening)
      // Before the first frame, and after the app's own listeners are there.
      process.nextTick(meet, state, socket, connection)
    },
    refused(said): void {
      answered = true
      const status = said < 300 ? 500 : said // it has written what is no HTTP, or no answer
      emitRefused(state, taken, 'library', status, undefined)
      if (opened === undefined) socket.once('finish', () => socket.destroy())
      else refuseOpened(state, opened, status)
    },
  })
  const fail = (refusal: Refuse): void => {
    if (answered) return connection.endWith(ENDS.handlerFailed, refusal.cause)
    answered = true
    unhook()
    // What it still writes would follow our Close.
    if (opened !== undefined) mute(socket)
    cancel()
    no(refusal)
  }
  // A library that never answers would keep the socket for ever.
  const cancel = state.clock.after(state.limits.deadline, () => {
    fail(refuse('handshake_timeout'))
  })
  const onClose = (): void => {
    cancel()
    unhook()
    if (answered) return
    answered = true
    emitAborted(state, taken)
  }
  socket.once('close', onClose)
  const made = (ws: WebSocket): void => connection.endBy(ws, state.webSocketEnder)
  call(state, () => deliver(attachment.server, req, socket, head, made), fail)
}

/** A WebSocket that the library has kept to itself can be ended more gently than its socket. */
function meet(state: GateState, socket: Duplex, connection: LiveConnection): void {
  const ws = hearErrorsOf(socket)
  if (ws !== undefined) connection.endBy(ws, state.webSocketEnder)
}

function refuseOpened(state: GateState, { waiting }: Opened, status: number): void {
  waiting.send(authError({ type: 'no', status, code: 'library', retryAfter: undefined }))
  waiting.close(state.closeCodes[kindOfStatus(status)], 'library')
}

/** Runs a library's part: what it throws, at once or later, is not the process's end. */
function call(state: GateState, deliver: () => unknown, fail: (refusal: Refuse) => void): void {
  const failed = (error: unknown): void => {
    if (error instanceof Gate101Error) state.warn('no_listener', error.message)
    fail(refuse('no_listener', [], error))
  }
  try {
    Promise.resolve(deliver()).catch(failed)
  } catch (error) {
    failed(error)
  }
}
