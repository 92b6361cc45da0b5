import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import type { ClusterEngine, LogPage } from '../../src/cluster/engine.ts'

/** An engine under test: a process of its own, or memory. */
export interface Bench {
  /** A node's engine, not opened yet. Two of one prefix share everything; two of different prefixes nothing. */
  engine(prefix?: string): Promise<ClusterEngine> | ClusterEngine
  /** Takes away what the engine keeps, behind the back of its nodes: as a flush, or a restart without persistence, does. */
  flush?(): Promise<void>
  /** Takes one entry out of the log of this prefix. */
  lose?(prefix: string, seq: number): Promise<void>
  stop(): Promise<void>
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const texts = ({ entries }: LogPage): string[] => entries.map(({ data }) => new TextDecoder().decode(data))
const seqs = ({ entries }: LogPage): number[] => entries.map(({ seq }) => seq)

let prefixes = 0

/** What every engine must do: the sentences of `ClusterEngine`, one by one. */
export function contract(name: string, start: () => Promise<Bench>, skip: string | false = false): void {
  describe(`the contract of engines: ${name}`, { skip, timeout: 120_000 }, () => {
    let bench: Bench
    let opened: ClusterEngine[] = []
    let prefix = ''

    before(async () => {
      bench = await start()
    })

    after(async () => {
      await bench?.stop()
    })

    /** Opens engines for the nodes of one fresh cluster. */
    async function nodes(count: number, hear?: (node: number, text: string) => void): Promise<ClusterEngine[]> {
      prefix = `contract${(prefixes += 1)}:{x}*>.${'ä'.repeat(prefixes % 2)}`
      return await more(count, hear)
    }

    async function more(count: number, hear?: (node: number, text: string) => void): Promise<ClusterEngine[]> {
      const made: ClusterEngine[] = []
      for (let n = 0; n < count; n++) {
        const engine = await bench.engine(prefix)
        await engine.open(
          (data) => hear?.(n, new TextDecoder().decode(data)),
          () => undefined,
        )
        made.push(engine)
      }
      opened.push(...made)
      return made
    }

    async function closeAll(): Promise<void> {
      for (const engine of opened) await engine.close()
      opened = []
    }

    const that = (what: string, check: () => Promise<void>): void => {
      it(what, async () => {
        try {
          await check()
        } finally {
          await closeAll()
        }
      })
    }

    that('a new log is empty, has a generation of its own, and is the same for all', async () => {
      const [one, two] = (await nodes(2)) as [ClusterEngine, ClusterEngine]
      const pages = await Promise.all([one.read(0, 10), two.read(0, 10), one.read(0, 10)])
      for (const page of pages) {
        assert.deepEqual(
          { ...page, age: 0 },
          { generation: pages[0].generation, age: 0, floor: 0, last: 0, entries: [] },
        )
        assert.ok(page.age >= 0 && page.age < 60_000, String(page.age))
      }
      assert.match(pages[0].generation, /^.{16,}$/)
      const [other] = (await nodes(1)) as [ClusterEngine]
      assert.notEqual((await other.read(0, 1)).generation, pages[0].generation)
    })

    that('numbers are consecutive and the same for all, whoever appends, and however many at a time', async () => {
      const all = await nodes(3)
      const { generation } = await all[0]!.read(0, 1)
      const given = await Promise.all(
        Array.from({ length: 60 }, (_, n) => all[n % 3]!.append(generation, bytes(`e${n}`)).then((seq) => [seq, n])),
      )
      const page = await all[1]!.read(0, 1000)
      assert.deepEqual(
        seqs(page),
        Array.from({ length: 60 }, (_, n) => n + 1),
      )
      assert.equal(page.last, 60)
      for (const [seq, n] of given) assert.equal(texts(page)[seq! - 1], `e${n}`)
    })

    that('whoever sees an entry sees all before it', async () => {
      const [writer, second, reader] = (await nodes(3)) as [ClusterEngine, ClusterEngine, ClusterEngine]
      const { generation } = await writer.read(0, 1)
      const writing = { isOver: false }
      const written = Promise.all(
        Array.from({ length: 100 }, (_, n) => (n % 2 ? writer : second).append(generation, bytes(String(n)))),
      ).finally(() => (writing.isOver = true))
      let seen = 0
      while (!writing.isOver || seen < 100) {
        const page = await reader.read(0, 1000)
        assert.deepEqual(
          seqs(page),
          Array.from({ length: page.entries.length }, (_, n) => n + 1),
        )
        assert.equal(page.entries.length, page.last)
        assert.ok(page.last >= seen)
        seen = page.last
      }
      await written
    })

    that('reading goes on after a number, at most so many at a time', async () => {
      const [one] = (await nodes(1)) as [ClusterEngine]
      const { generation } = await one.read(0, 1)
      for (let n = 1; n <= 5; n++) assert.equal(await one.append(generation, bytes(`e${n}`)), n)
      const page = await one.read(2, 2)
      assert.deepEqual([seqs(page), texts(page), page.last, page.floor], [[3, 4], ['e3', 'e4'], 5, 0])
      assert.deepEqual(seqs(await one.read(5, 10)), [])
      assert.deepEqual(seqs(await one.read(9, 10)), [])
    })

    that('entries are bytes, up to 32 KiB', async () => {
      const [one, two] = (await nodes(2)) as [ClusterEngine, ClusterEngine]
      const { generation } = await one.read(0, 1)
      for (const data of [randomBytes(32 * 1024), Uint8Array.from({ length: 256 }, (_, n) => n), Uint8Array.of(0)]) {
        const seq = await one.append(generation, data)
        const [entry] = (await two.read(seq! - 1, 1)).entries
        assert.deepEqual(Buffer.from(entry!.data), Buffer.from(data))
      }
    })

    that('trim takes away the front alone, says so, and not in another generation', async () => {
      const [one, two] = (await nodes(2)) as [ClusterEngine, ClusterEngine]
      const { generation } = await one.read(0, 1)
      for (let n = 1; n <= 6; n++) await one.append(generation, bytes(`e${n}`))
      await two.trim('another', 6)
      assert.equal((await one.read(0, 1)).floor, 0)
      await two.trim(generation, 4)
      await two.trim(generation, 2)
      const page = await one.read(0, 10)
      assert.deepEqual([page.floor, page.last, texts(page)], [4, 6, ['e5', 'e6']])
      assert.equal(await one.append(generation, bytes('e7')), 7)
      assert.deepEqual(texts(await two.read(5, 10)), ['e6', 'e7'])
    })

    that('restart begins anew, once, however many ask for it', async () => {
      const all = await nodes(3)
      const { generation } = await all[0]!.read(0, 1)
      await all[0]!.append(generation, bytes('old'))
      await Promise.all(all.map(async (engine) => await engine.restart(generation)))
      const [a, b] = await Promise.all([all[1]!.read(0, 10), all[2]!.read(0, 10)])
      assert.notEqual(a!.generation, generation)
      assert.equal(a!.generation, b!.generation)
      assert.deepEqual([a!.last, a!.floor, a!.entries.length], [0, 0, 0])
      assert.equal(await all[0]!.append(generation, bytes('late')), undefined)
      assert.equal(await all[0]!.append(a!.generation, bytes('new')), 1)
      await all[1]!.restart(generation)
      assert.deepEqual(texts(await all[2]!.read(0, 10)), ['new'])
    })

    that('append wakes the others, at once', async () => {
      const [one] = (await nodes(1)) as [ClusterEngine]
      const two = await bench.engine(prefix)
      opened.push(two)
      const { generation } = await one.read(0, 1)
      let woken = (): void => undefined
      await two.open(
        () => undefined,
        () => woken(),
      )
      for (let n = 0; n < 3; n++) {
        const wake = new Promise<void>((resolve) => (woken = resolve))
        await one.append(generation, bytes('x'))
        await wake
      }
    })

    that('what one says the others hear', async () => {
      const heard: string[] = []
      let done = (): void => undefined
      const all = new Promise<void>((resolve) => (done = resolve))
      const [one] = (await nodes(3, (node, text) => {
        heard.push(`${node} ${text.length}`)
        if (heard.includes('1 6144') && heard.includes('2 6144')) done()
      })) as [ClusterEngine]
      await one.say(bytes('a'.repeat(6144)))
      await all
    })

    that('reports are there until their time is over, or they are taken away', async () => {
      const [one, two] = (await nodes(2)) as [ClusterEngine, ClusterEngine]
      await one.report('node-a.1', bytes('first'), 60_000)
      await one.report('node-a.1', bytes('second'), 60_000)
      await two.report('node-b', bytes('b'), 60_000)
      await two.report('node-c', bytes('c'), 200)
      const shown = async (): Promise<string[]> =>
        (await one.reports()).map(({ node, data }) => `${node}=${new TextDecoder().decode(data)}`).toSorted()
      for (let left = await shown(); left.includes('node-c=c'); left = await shown()) await nap()
      assert.deepEqual(await shown(), ['node-a.1=second', 'node-b=b'])
      await two.report('node-b', new Uint8Array(), 60_000)
      assert.deepEqual(await shown(), ['node-a.1=second'])
    })

    that('a limit holds, however many come at a time', async () => {
      const all = await nodes(3)
      const key = randomBytes(12).toString('base64url')
      const entered = await Promise.all(
        Array.from({ length: 12 }, (_, n) => all[n % 3]!.enter({ key, id: `n${n}` }, 60_000, 5)),
      )
      const held = entered.flatMap((is, n) => (is ? [n] : []))
      assert.ok(held.length <= 5, `${held.length} hold one`)
      for (let n = 0; held.length < 5; n++)
        if (!held.includes(n) && (await all[0]!.enter({ key, id: `n${n}` }, 60_000, 5))) held.push(n)
      assert.equal(await all[1]!.enter({ key, id: 'more' }, 60_000, 5), false)
      assert.equal(await all[1]!.enter({ key, id: `n${held[0]}` }, 60_000, 5), true)
      assert.equal(await all[1]!.enter({ key: `${key}2`, id: 'more' }, 60_000, 5), true)
      await all[2]!.leave([{ key, id: `n${held[1]}` }])
      await all[2]!.leave([
        { key, id: `n${held[1]}` },
        { key, id: 'nobody' },
      ])
      assert.equal(await all[1]!.enter({ key, id: 'more' }, 60_000, 5), true)
    })

    that('a place whose holder does not keep it is free', async () => {
      const [one, two] = (await nodes(2)) as [ClusterEngine, ClusterEngine]
      const key = randomBytes(12).toString('base64url')
      assert.equal(await one.enter({ key, id: 'gone' }, 300, 1), true)
      while (!(await two.enter({ key, id: 'next' }, 60_000, 1))) await nap()
      await one.keep([{ key, id: 'back' }], 60_000)
      await two.leave([{ key, id: 'next' }])
      assert.equal(await two.enter({ key, id: 'third' }, 60_000, 1), false)
    })

    that('a ticket is taken once', async () => {
      const all = await nodes(3)
      const record = { id: 'i'.repeat(43), owner: 'o'.repeat(43), data: randomBytes(5000), lifetime: 60_000, limit: 2 }
      assert.equal(await all[0]!.tickets.add(record), true)
      await assert.rejects(all[1]!.tickets.add(record))
      const taken = await Promise.all(Array.from({ length: 9 }, (_, n) => all[n % 3]!.tickets.take(record.id)))
      const got = taken.filter((data) => data !== undefined)
      assert.deepEqual(
        got.map((data) => Buffer.from(data)),
        [record.data],
      )
      assert.equal(await all[1]!.tickets.take(record.id), undefined)
    })

    that('an owner has so many tickets at most, and a late one is none', async () => {
      const [one, two] = (await nodes(2)) as [ClusterEngine, ClusterEngine]
      const record = (id: string, lifetime = 60_000, owner = 'p') => ({
        id: id.padEnd(43, '_'),
        owner: owner.repeat(43),
        data: bytes(id),
        lifetime,
        limit: 2,
      })
      assert.equal(await one.tickets.add(record('a')), true)
      assert.equal(await two.tickets.add(record('b')), true)
      assert.equal(await one.tickets.add(record('c')), false)
      assert.equal(await one.tickets.take(record('c').id), undefined)
      assert.deepEqual(Buffer.from((await two.tickets.take(record('a').id))!), Buffer.from('a'))
      assert.equal(await one.tickets.add(record('d', 200, 'q')), true)
      assert.equal(await one.tickets.add(record('e', 200, 'q')), true)
      while (!(await one.tickets.add(record('f', 200, 'q')))) await nap()
      assert.equal(await two.tickets.take(record('d').id), undefined)
    })

    that('two prefixes never meet', async () => {
      const [one] = (await nodes(1)) as [ClusterEngine]
      const first = await one.read(0, 1)
      await one.append(first.generation, bytes('mine'))
      await one.report('n', bytes('r'), 60_000)
      await one.enter({ key: 'k', id: 'i' }, 60_000, 1)
      const base = prefix
      for (const name of [`${base}x`, `${base}:`, `${base}*`, base.slice(0, -1), `${base}.log`]) {
        const other = await bench.engine(name)
        opened.push(other)
        await other.open(
          () => undefined,
          () => undefined,
        )
        const page = await other.read(0, 10)
        assert.deepEqual([page.last, page.generation === first.generation], [0, false], name)
        assert.deepEqual(await other.reports(), [])
        assert.equal(await other.enter({ key: 'k', id: 'j' }, 60_000, 1), true)
      }
    })

    that('close lets go, twice if need be, and another node goes on', async () => {
      const [one, two] = (await nodes(2)) as [ClusterEngine, ClusterEngine]
      const { generation } = await one.read(0, 1)
      await one.append(generation, bytes('before'))
      await one.close()
      await one.close()
      assert.deepEqual(texts(await two.read(0, 10)), ['before'])
    })

    that('what was flushed is another generation', async () => {
      if (bench.flush === undefined) return
      const [one, two] = (await nodes(2)) as [ClusterEngine, ClusterEngine]
      const { generation } = await one.read(0, 1)
      await one.append(generation, bytes('gone'))
      await bench.flush()
      const page = await two.read(0, 10)
      assert.notEqual(page.generation, generation)
      assert.equal(page.last, 0)
      assert.equal(await one.append(generation, bytes('late')), undefined)
    })

    that('what was lost is a missing number', async () => {
      if (bench.lose === undefined) return
      const [one, two] = (await nodes(2)) as [ClusterEngine, ClusterEngine]
      const { generation } = await one.read(0, 1)
      for (const text of ['a', 'b', 'c', 'd']) await one.append(generation, bytes(text))
      await bench.lose(prefix, 2)
      const page = await two.read(0, 10)
      assert.deepEqual([seqs(page), page.last, page.floor], [[1, 3, 4], 4, 0])
      await bench.lose(prefix, 4)
      const later = await two.read(0, 10)
      assert.ok(later.last < 4 || !seqs(later).includes(4))
    })
  })
}

/** The engine's own clock is waited for: nothing tells when its time is over. */
async function nap(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 20))
}
