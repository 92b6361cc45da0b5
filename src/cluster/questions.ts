import { randomBytes } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import type { ClusterEngine } from './engine.ts'
import { sealMessage, type AnswerMessage, type AskMessage } from './messages.ts'
import type { Sealer } from './sealer.ts'

/** So long the others have to answer (ms). */
const DEADLINE = 2000
/** So many questions are known not to be answered again. */
const REMEMBERED = 1000
/** Of the text of an answer, in bytes: as base64, and with what is put around it, a message of 6 KiB holds it. */
const PART = 3840

export interface QuestionParts {
  readonly engine: Pick<ClusterEngine, 'say'>
  readonly clock: Clock
  readonly sealer: Sealer
  readonly name: string
  /** What this node answers: what JSON can say. */
  readonly answer: (question: unknown) => unknown
}

/** What the others have answered. */
export interface Answers {
  readonly answers: readonly unknown[]
  /** Those who have not answered. */
  readonly missing: readonly string[]
}

/** Asks the other nodes about what only they know, and answers them. */
export class Questions {
  readonly #parts: QuestionParts
  readonly #open = new Map<string, (answer: AnswerMessage) => void>()
  readonly #answered = new Set<string>()

  constructor(parts: QuestionParts) {
    this.#parts = parts
  }

  /** Never rejects: who could not be asked has not answered. */
  async ask(question: unknown, nodes: readonly string[]): Promise<Answers> {
    const { engine, clock, sealer } = this.#parts
    const id = randomBytes(9).toString('base64url')
    const missing = new Set(nodes)
    const heard = new Map<string, Parts>()
    const answers: unknown[] = []
    if (missing.size === 0) return { answers, missing: [] }
    await new Promise<void>((resolve) => {
      const cancel = clock.after(DEADLINE, resolve)
      const done = (): void => {
        cancel()
        resolve()
      }
      this.#open.set(id, (answer) => {
        // Whoever shares the channel, and was not asked, is of another cluster.
        if (!missing.has(answer.node)) return
        const text = collect(heard, answer)
        if (text === undefined) return
        answers.push(JSON.parse(text))
        missing.delete(answer.node)
        if (missing.size === 0) done()
      })
      engine.say(sealMessage(sealer, { type: 'ask', id, question })).catch(done)
    })
    this.#open.delete(id)
    return { answers, missing: [...missing] }
  }

  hearAnswer(answer: AnswerMessage): void {
    this.#open.get(answer.id)?.(answer)
  }

  async hearQuestion({ id, question }: AskMessage): Promise<void> {
    // Its own question comes back to it; and somebody may ask again what was asked before.
    if (this.#open.has(id) || this.#answered.has(id)) return
    this.#answered.add(id)
    for (const [oldest] of this.#answered.entries()) {
      if (this.#answered.size <= REMEMBERED) break
      this.#answered.delete(oldest)
    }
    const { engine, sealer, name, answer } = this.#parts
    const text = Buffer.from(JSON.stringify(answer(question)))
    const of = Math.ceil(text.length / PART)
    for (let nth = 0; nth < of; nth++) {
      // As base64: a part may begin within a character of the text.
      const part = text.toString('base64', nth * PART, (nth + 1) * PART)
      // oxlint-disable-next-line no-await-in-loop -- in order
      await engine.say(sealMessage(sealer, { type: 'answer', id, node: name, part, nth, of }))
    }
  }
}

/** What one node has said so far. */
type Parts = Map<number, string>

/** Parts may come in any order, and again. @returns the whole text, once, when this was the part that was lacking. */
function collect(heard: Map<string, Parts>, { node, part, nth, of }: AnswerMessage): string | undefined {
  const parts: Parts = heard.get(node) ?? new Map()
  if (parts.has(nth)) return undefined
  heard.set(node, parts.set(nth, part))
  if (parts.size < of) return undefined
  return Buffer.concat(Array.from({ length: of }, (_, n) => Buffer.from(parts.get(n) ?? '', 'base64'))).toString()
}
