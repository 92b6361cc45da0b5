import { randomBytes } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import type { ClusterEngine } from './engine.ts'
import { sealMessage, type AnswerMessage, type AskMessage } from './messages.ts'
import type { Sealer } from './sealer.ts'

/** So long the others have to answer (ms). */
const DEADLINE = 2000

export interface QuestionParts {
  readonly engine: Pick<ClusterEngine, 'say'>
  readonly clock: Clock
  readonly sealer: Sealer
  readonly name: string
  /** What this node answers, in parts that a message can hold. */
  readonly answer: (question: unknown) => Iterable<unknown>
}

/** What the others have answered. */
export interface Answers {
  readonly parts: ReadonlyArray<{ readonly node: string; readonly part: unknown }>
  /** Those of whom not all was heard. */
  readonly missing: readonly string[]
}

/** Asks the other nodes about what only they know, and answers them. */
export class Questions {
  readonly #parts: QuestionParts
  readonly #open = new Map<string, (answer: AnswerMessage) => void>()

  constructor(parts: QuestionParts) {
    this.#parts = parts
  }

  async ask(question: unknown, nodes: readonly string[]): Promise<Answers> {
    const { engine, clock, sealer } = this.#parts
    const id = randomBytes(9).toString('base64url')
    const parts: Array<{ node: string; part: unknown }> = []
    const missing = new Set(nodes)
    const heard = new Map<string, Set<number>>()
    let cancel = (): void => undefined
    await new Promise<void>((resolve, reject) => {
      cancel = clock.after(DEADLINE, resolve)
      this.#open.set(id, ({ node, part, nth, of }) => {
        const own = heard.get(node) ?? new Set()
        if (own.has(nth)) return
        heard.set(node, own.add(nth))
        parts.push({ node, part })
        if (own.size === of) missing.delete(node)
        if (missing.size === 0) resolve()
      })
      if (missing.size === 0) resolve()
      else engine.say(sealMessage(sealer, { type: 'ask', id, question })).catch(reject)
    }).finally(() => {
      cancel()
      this.#open.delete(id)
    })
    return { parts, missing: [...missing] }
  }

  hearAnswer(answer: AnswerMessage): void {
    this.#open.get(answer.id)?.(answer)
  }

  async hearQuestion({ id, question }: AskMessage): Promise<void> {
    // Its own question comes back to it.
    if (this.#open.has(id)) return
    const { engine, sealer, name, answer } = this.#parts
    const parts = [...answer(question)]
    for (const [nth, part] of parts.entries()) {
      // oxlint-disable-next-line no-await-in-loop -- in order
      await engine.say(sealMessage(sealer, { type: 'answer', id, node: name, part, nth, of: parts.length }))
    }
  }
}
