import type { WebSocket } from 'ws'
import { refuse, type Accept, type Refuse } from '../core/decision.ts'
import type { Duplex } from 'node:stream'
import { CLOSE_CODES, closeCodeOf } from '../core/close-codes.ts'
import { Gate101Error } from '../core/errors.ts'
import { LiveConnection } from '../connections/connection.ts'
import { rawSocketEnder, type Ender } from '../connections/enders.ts'
import { isThenable } from '../core/thenable.ts'
import { holdMessages } from '../connections/hold.ts'
import type { Mark } from '../door/marks.ts'
import { deliverTo, hearErrorsOf, listensItself, mute, slipHeaders, type Deliver } from '../upgrade/handover.ts'
import { headersFor101 } from '../upgrade/headers.ts'
import type { Taker } from './routes.ts'
import type { GateState } from './state.ts'
import { emitAborted, emitAccepted, emitRefused } from './report.ts'
import type { Opened, Taken } from './taken.ts'
import { answerAuthMessage } from './late-message.ts'
import { authError } from './verdict.ts'

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
  openLibrary(state, taken, decision, run, no)
  if (taken.attachment.partial && listensItself(deliver)) warnOfOtherPaths(state)
}

function warnOfOtherPaths(state: GateState): void {
  state.warn(
    'unheld_paths',
    'A library that listens to the upgrade event itself also takes handshakes outside of `paths`, which nobody guards. Leave `paths` out, or keep the library off the event (ws: { noServer: true }; a proxy: without `ws: true`) and write accept(library).',
  )
}

function connect<Carrier>(
  state: GateState,
  taken: Taken,
  decision: Accept,
  carrier: Carrier,
  ender: Ender<Carrier>,
): LiveConnection {
  const connection = LiveConnection.create(state.nextId++, decision.identity, carrier, ender, state.clock)
  state.byRequest.set(taken.req, connection)
  return connection
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
  if (opened !== undefined) greet(owned.socket, opened)
  const ws = state.accepter.accept(req, owned.socket, head, { headers, protocols: taker.protocols })
  if (ws === undefined) {
    owned.socket.destroy()
    return emitAborted(state, taken)
  }
  const connection = connect(state, taken, decision, ws, state.webSocketEnder)
  state.registry.add(ws, connection)
  emitAccepted(state, taken, connection)
  if (opened === undefined) answerAuthMessage(state, taken, ws, connection)
  serve(ws, connection, mark, taker)
}

/** The client has had its 101: in the place of a second one it gets the answer to its message. */
function greet(socket: Duplex, { waiting, greeting }: Opened): void {
  const switched = (): void => {
    waiting.send(greeting)
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
    connection.endWith(CLOSE_CODES.internal, 'handler_failed', cause)
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
): void {
  const { owned, req, head, attachment, opened } = taken
  const { socket } = owned
  owned.release()
  const connection = connect(state, taken, decision, socket, rawSocketEnder)
  let answered = false
  const unhook = slipHeaders(socket, headersFor101(decision.headers), {
    silent: opened !== undefined,
    switched(): void {
      answered = true
      opened?.waiting.send(opened.greeting)
      cancel()
      socket.off('close', onClose) // it would hold on to the request for as long as the connection lives
      if (socket.destroyed) return emitAborted(state, taken) // its 'close' has been: nothing would take it off again
      state.registry.add(socket, connection)
      emitAccepted(state, taken, connection)
      // Before the first frame, and after the app's own listeners are there.
      process.nextTick(hearErrorsOf, socket)
    },
    refused(said): void {
      answered = true
      const status = said < 300 ? 500 : said // it has written what is no HTTP, or no answer
      emitRefused(state, taken, 'library', status, undefined)
      if (opened === undefined) socket.once('finish', () => socket.destroy())
      else refuseOpened(opened, status)
    },
  })
  const fail = (refusal: Refuse): void => {
    if (answered) return connection.endWith(CLOSE_CODES.internal, 'handler_failed', refusal.cause)
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
  call(state, () => deliver(attachment.server, req, socket, head), fail)
}

function refuseOpened({ waiting }: Opened, status: number): void {
  waiting.send(authError({ type: 'no', status, code: 'library', retryAfter: undefined }))
  waiting.close(closeCodeOf(status), 'library')
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
