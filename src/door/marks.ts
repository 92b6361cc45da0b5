import type { AsyncResource } from 'node:async_hooks'
import type { IncomingMessage } from 'node:http'
import type { Phase } from '../core/phase.ts'
import type { Head } from './head.ts'

/** What a route said about the handshake that it was run for. The verdict falls later, when the app ends its response. */
export interface Mark {
  /** The status with which the response must end to be an acceptance. */
  readonly status: number
  /** Header field that must be on the ended response as well, where the framework cannot answer 101. */
  readonly proof?: { readonly name: string; readonly value: string } | undefined
  /** What `identify` and the handler get: the framework's own context of this request. */
  readonly context: unknown
  /** The route lets handshakes without any credential in. */
  readonly anonymous: boolean
  /** The async context of the middleware that marked. */
  readonly scope: AsyncResource
  /** What takes the accepted socket over: opaque here, the assembly knows it. */
  readonly taker: unknown
}

/** One run of the app on a handshake. */
export interface Run {
  readonly gate: object
  readonly phase: Phase
  mark: Mark | undefined
  /** Says that the app would end its response with what the mark asks for. Of a re-check only: there nothing is ended. */
  agree: () => void
}

const runs = new WeakMap<IncomingMessage, Run>()

export function beginRun(req: IncomingMessage, gate: object, phase: Phase): Run {
  const run: Run = { gate, phase, mark: undefined, agree: () => undefined }
  runs.set(req, run)
  return run
}

export function endRun(req: IncomingMessage): void {
  runs.delete(req)
}

/** Whether the run of this request is a re-check; if so it has its verdict now, and the response stays as it is (rule R2). */
export function agreesToRecheck(req: IncomingMessage): boolean {
  const run = runs.get(req)
  if (run?.phase !== 'recheck') return false
  run.agree()
  return true
}

/** The run that this gate has under way for the request; undefined for a plain request, or another gate's. */
export function runOf(req: IncomingMessage, gate: object): Run | undefined {
  const run = runs.get(req)
  return run?.gate === gate ? run : undefined
}

/** Whether the ended answer is the acceptance that the mark announced. */
export function fulfils(head: Head, mark: Mark): boolean {
  if (head.status !== mark.status) return false
  const proof = mark.proof
  if (proof === undefined) return true
  return head.headers.some(([name, value]) => name.toLowerCase() === proof.name && value === proof.value)
}
