import { ServerResponse, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { refuse, type Refuse } from '../core/decision.ts'
import { isThenable } from '../core/thenable.ts'
import type { Phase } from '../core/phase.ts'
import type { Head } from './head.ts'
import { beginRun, endRun, fulfils, type Mark, type Run } from './marks.ts'
import { Sink, type BodyTaker, type SocketFacts } from './sink.ts'

/** An app as Node calls it. What it returns is looked at only for a rejected promise. */
export type Listener = (req: IncomingMessage, res: ServerResponse) => unknown

/** What the app made of the handshake. */
export type Outcome =
  | { readonly type: 'marked'; readonly mark: Mark; readonly head: Head }
  | { readonly type: 'answer'; readonly head: Head; readonly body: AnswerBody }
  | Refuse

/** The body of the app's own refusal, still being written. */
export interface AnswerBody {
  /**
   * @param done - called when the app has ended its response and every chunk was taken (`whole`), or when it has
   *   destroyed its response before that.
   */
  pipe(take: BodyTaker, done: (whole: boolean) => void): void
}

/** What the app is run on. */
export interface RunRequest {
  readonly app: Listener
  readonly req: IncomingMessage
  readonly facts: SocketFacts
  /** The gate that asks: only its own routes can mark. */
  readonly gate: object
  readonly phase: Phase
  /** Whether a body of unknown length may be chunked. */
  readonly framed: boolean
}

/** One run of the app under way. */
export interface DoorRun {
  /** Settles once; never rejects. Nobody should wait for it after `close()`. */
  readonly outcome: Promise<Outcome>
  /** Ends the run: the app sees its client gone, what it writes from now on goes nowhere. */
  close(): void
}

/**
 * Runs the app's own HTTP stack on a handshake, with a real `ServerResponse` on a {@link Sink}. The verdict falls when
 * the app ends the response: only then can outer middleware no longer change it.
 */
export function runApp({ app, req, facts, gate, phase, framed }: RunRequest): DoorRun {
  const run = beginRun(req, gate, phase)
  let settle: (outcome: Outcome) => void = () => undefined
  const outcome = new Promise<Outcome>((resolve) => {
    settle = resolve
  })
  const res = new ServerResponse(req)
  const sink: Sink = new Sink(facts, (head) => {
    watchVerdict(res, sink, run, head, settle)
  })
  res.shouldKeepAlive = false
  if (!framed) res.useChunkedEncodingByDefault = false
  if (phase === 'recheck') keepEnd(res)
  // A late write of the app would otherwise be an unhandled 'error'.
  res.on('error', ignore)
  sink.on('error', ignore)
  sink.once('close', () => {
    settle(refuse('app_error', [], new Error('The app destroyed its response before it had ended it.')))
  })
  // ServerResponse needs of its socket what the sink has; it is no net.Socket, so that nothing real is reachable.
  res.assignSocket(sink as unknown as Socket)
  // Node's server hands a socket's 'drain' on to the response; a body with back-pressure waits for it.
  sink.on('drain', () => {
    if (res.writableNeedDrain) res.emit('drain')
  })
  run.agree = () => {
    if (run.mark !== undefined) settle({ type: 'marked', mark: run.mark, head: NOTHING_WRITTEN })
  }
  start(app, req, res, settle)
  return {
    outcome,
    close(): void {
      endRun(req)
      sink.destroy()
    },
  }
}

/**
 * Session middlewares put a function of theirs in the place of `end`, which saves before it ends. Here theirs is not taken:
 * a session must not live for as long as it is asked about, nor come back after a logout.
 */
function keepEnd(res: ServerResponse): void {
  const end: unknown = Reflect.get(res, 'end')
  Object.defineProperty(res, 'end', {
    configurable: true,
    get: () => end,
    set() {
      // Not taken.
    },
  })
}

const NOTHING_WRITTEN: Head = { status: 101, reason: '', headers: [] }

function start(app: Listener, req: IncomingMessage, res: ServerResponse, settle: (outcome: Outcome) => void): void {
  const failed = (cause: unknown): void => {
    settle(refuse('app_error', [], cause))
  }
  try {
    const returned = app(req, res)
    if (isThenable(returned)) returned.then(undefined, failed)
  } catch (error) {
    failed(error)
  }
}

function watchVerdict(
  res: ServerResponse,
  sink: Sink,
  run: Run,
  head: Head | undefined,
  settle: (outcome: Outcome) => void,
): void {
  if (head === undefined) return settle(refuse('bad_answer'))
  const mark = run.mark
  if (mark !== undefined && fulfils(head, mark)) {
    sink.takeBody(discard)
    res.once('finish', () => {
      // Set after the head had gone out: over HTTP it would have come too late, here it does not.
      settle(res.statusCode === head.status ? { type: 'marked', mark, head } : refuse('not_accepted'))
    })
    return
  }
  if (head.status === 101) return settle(refuse('unmarked_101'))
  if (head.status < 300) {
    // A turn later: an answer that is already whole ends as usual, and the app's own log has it.
    sink.takeBody(discard)
    setImmediate(settle, refuse('not_accepted'))
    return
  }
  settle({ type: 'answer', head, body: answerBody(res, sink) })
}

function answerBody(res: ServerResponse, sink: Sink): AnswerBody {
  let whole: boolean | undefined
  let done: (whole: boolean) => void = ignore
  const over = (how: boolean): void => {
    whole ??= how
    done(whole)
  }
  res.once('finish', () => {
    over(true)
  })
  sink.once('close', () => {
    over(false)
  })
  return {
    pipe(take, whenDone): void {
      done = whenDone
      sink.takeBody(take)
      if (whole !== undefined) whenDone(whole)
    },
  }
}

const discard: BodyTaker = (_chunk, taken) => {
  taken()
}

function ignore(): void {
  // The outcome is already on its way by another event.
}
