import type { WebSocket } from 'ws'
import { refuse, type Accept, type Refuse } from '../core/decision.ts'
import { CLOSE_CODES } from '../core/close-codes.ts'
import { Gate101Error } from '../core/errors.ts'
import { LiveConnection } from '../connections/connection.ts'
import { rawSocketEnder, type Ender } from '../connections/enders.ts'
import { holdMessages } from '../connections/hold.ts'
import type { Mark } from '../door/marks.ts'
import { deliverTo, slipHeaders, type Deliver } from '../upgrade/handover.ts'
import { headersFor101 } from '../upgrade/headers.ts'
import type { Taker } from './routes.ts'
import type { GateState } from './state.ts'
import { emitAccepted, emitRefused } from './report.ts'
import type { Taken } from './take.ts'

const toSoleListener = deliverTo(undefined)

/** Carries an acceptance out. @returns a refusal where nobody could take the socket and nothing was written yet. */
export function open(state: GateState, taken: Taken, decision: Accept, mark: Mark | undefined): Refuse | undefined {
  const taker = mark?.taker as Taker | undefined
  if (mark === undefined || taker === undefined) return openLibrary(state, taken, decision, toSoleListener)
  if (taker.type === 'library')
    return openLibrary(state, taken, decision, (...args) => mark.scope.runInAsyncScope(() => taker.deliver(...args)))
  openHandler(state, taken, decision, mark, taker)
  return undefined
}

function connect<Carrier>(
  state: GateState,
  taken: Taken,
  decision: Accept,
  carrier: Carrier,
  ender: Ender<Carrier>,
): LiveConnection {
  const id = `c${process.pid.toString(36)}-${(state.nextId++).toString(36)}`
  const connection = LiveConnection.create(id, decision.identity, carrier, ender, state.clock)
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
  const { owned, req, head } = taken
  const headers = headersFor101(decision.headers)
  owned.release()
  const ws = state.accepter.accept(req, owned.socket, head, { headers, protocols: taker.protocols })
  if (ws === undefined) {
    owned.socket.destroy()
    return
  }
  const connection = connect(state, taken, decision, ws, state.webSocketEnder)
  state.registry.add(ws, connection)
  emitAccepted(state, taken, connection)
  serve(ws, connection, mark, taker)
}

/** Apart from the above, so that nothing which lives as long as the connection holds on to its request. */
function serve(
  ws: WebSocket,
  connection: LiveConnection,
  mark: Mark,
  taker: Extract<Taker, { type: 'handler' }>,
): void {
  const hold = holdMessages(ws, () => connection.reason !== undefined)
  const failed = (cause: unknown): void => {
    connection.endWith(CLOSE_CODES.internal, 'handler_failed', cause)
  }
  try {
    const returned = mark.scope.runInAsyncScope(() => taker.handler(ws, mark.context, connection))
    void Promise.resolve(returned).then(() => {
      hold.settle()
    }, failed)
  } catch (error) {
    failed(error)
  }
}

function openLibrary(state: GateState, taken: Taken, decision: Accept, deliver: Deliver): Refuse | undefined {
  const { owned, req, head, attachment } = taken
  const { socket } = owned
  owned.release()
  const connection = connect(state, taken, decision, socket, rawSocketEnder)
  // A library that never answers would keep the socket for ever.
  const cancel = state.clock.after(state.limits.deadline, () => socket.destroy())
  const unhook = slipHeaders(socket, headersFor101(decision.headers), {
    switched(): void {
      cancel()
      state.registry.add(socket, connection)
      emitAccepted(state, taken, connection)
    },
    refused(status): void {
      emitRefused(state, taken, 'library', status, undefined)
    },
  })
  socket.once('close', cancel)
  try {
    deliver(attachment.server, req, socket, head)
    return undefined
  } catch (error) {
    unhook()
    cancel()
    if (error instanceof Gate101Error) state.warn('no_listener', error.message)
    return refuse('no_listener', [], error)
  }
}
