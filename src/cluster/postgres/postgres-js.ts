import { DatabaseError, toRow, type Driver, type Row } from './driver.ts'

/** What is used of the `sql` of postgres 3. */
export interface PostgresSql {
  unsafe(text: string): PromiseLike<readonly object[]>
  listen(
    channel: string,
    hear: (payload: string) => void,
    listening: () => void,
  ): PromiseLike<{ unlisten(): PromiseLike<unknown> }>
}

export function postgresJsDriver(sql: PostgresSql): Driver {
  return {
    async run(text) {
      try {
        return rowsOf(await sql.unsafe(text))
      } catch (error) {
        throw new DatabaseError(error)
      }
    },
    async listen(channel, hear, again) {
      const to: { hear?: typeof hear; again?: typeof again } = { hear }
      try {
        const listening = await sql.listen(
          channel,
          (payload) => to.hear?.(payload),
          () => to.again?.(),
        )
        to.again = again
        return async () => {
          // The client forgets nobody who has listened before it lost its session: so nothing of ours may hang on it.
          delete to.hear
          delete to.again
          // Not waited for: a server that stands still would hold up the end.
          Promise.resolve(listening.unlisten()).catch(() => undefined)
        }
      } catch (error) {
        delete to.hear
        throw new DatabaseError(error)
      }
    },
  }
}

/** The result of several statements is a list of results, and a result is a list of rows. */
function rowsOf(result: readonly object[]): readonly Row[] {
  const last = result.at(-1)
  return (Array.isArray(last) ? (last as readonly object[]) : result).map(toRow)
}
