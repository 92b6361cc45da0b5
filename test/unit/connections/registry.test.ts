import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { LiveConnection } from '../../../src/connections/connection.ts'
import { createRegistry, type Registry } from '../../../src/connections/registry.ts'
import type { IdentityInput } from '../../../src/core/identity.ts'
import { identityOf, makeConnection, type Made } from './helpers.ts'

interface Table {
  readonly registry: Registry
  readonly ended: LiveConnection[]
  open(identity: Partial<IdentityInput>, more?: { address?: string; number?: number }): Made
}

function table(): Table {
  const ended: LiveConnection[] = []
  const registry = createRegistry((connection) => ended.push(connection))
  return {
    registry,
    ended,
    open(identity, more = {}): Made {
      const made = makeConnection({ identity, left: (connection) => registry.left(connection), ...more })
      registry.add(made.carrier, made.connection)
      return made
    },
  }
}

const gone = async ({ carrier }: Made): Promise<void> => {
  await new Promise((resolve) => carrier.once('close', resolve).destroy())
}

describe('the registry', () => {
  it('finds by subject, session, credential and tag, and forgets whoever has ended', () => {
    const { registry, ended, open } = table()
    const one = open({ subject: 'ann', session: 's1', credential: 'k', tags: ['a', 'b'] })
    const two = open({ subject: 'ann', session: 's2', tags: ['b'] })
    const both = [one.connection, two.connection]
    assert.deepEqual([...registry.find('subject', 'ann')], both)
    assert.deepEqual([...registry.find('session', 's1')], [one.connection])
    assert.deepEqual([...registry.find('credential', 'k')], [one.connection])
    assert.deepEqual([...registry.find('tag', 'b')], both)
    assert.deepEqual([...registry.find('session', 'ann')], [])
    one.connection.end()
    assert.deepEqual(ended, [one.connection])
    for (const [index, key] of [
      ['session', 's1'],
      ['credential', 'k'],
      ['tag', 'a'],
    ] as const) {
      assert.equal(registry.count(index, key), 0)
    }
    assert.deepEqual([...registry.find('subject', 'ann')], [two.connection])
    assert.deepEqual([registry.size, registry.sockets], [1, 2])
  })

  it('after a renewal it is found by all that it lived by, and by the tags of now alone (rule V3)', () => {
    const { registry, open } = table()
    const { connection } = open({ session: 's1', credential: 'k1', tags: ['old', 'both'] })
    const steps = [
      { session: 's2', credential: 'k2', tags: ['both', 'new'] },
      { session: 's3', tags: [] },
      { session: 's1', credential: 'k1' },
    ]
    for (const step of steps) {
      const before = connection.identity
      connection.become(identityOf(step))
      registry.moved(connection, before)
    }
    for (const session of ['s1', 's2', 's3']) assert.equal(registry.count('session', session), 1, session)
    for (const credential of ['k1', 'k2']) assert.equal(registry.count('credential', credential), 1, credential)
    for (const tag of ['old', 'both', 'new']) assert.equal(registry.count('tag', tag), 0, tag)
    connection.end()
    for (const session of ['s1', 's2', 's3']) assert.equal(registry.count('session', session), 0, session)
    for (const credential of ['k1', 'k2']) assert.equal(registry.count('credential', credential), 0, credential)
    assert.equal(registry.count('subject', 'ann'), 0)
  })

  it('renewed a thousand times between two sessions, it remembers two', () => {
    const { registry, open } = table()
    const { connection } = open({ session: 's0' })
    for (let n = 1; n <= 1000; n++) {
      const before = connection.identity
      connection.become(identityOf({ session: `s${n % 2}` }))
      registry.moved(connection, before)
    }
    assert.ok(connection.former.length <= 2)
    connection.end()
    assert.deepEqual([registry.count('session', 's0'), registry.count('session', 's1')], [0, 0])
  })

  it('counts addresses', () => {
    const { registry, open } = table()
    const made = [
      open({}, { address: '10.0.0.1' }),
      open({}, { address: '10.0.0.1' }),
      open({}, { address: '10.0.0.2' }),
    ]
    assert.deepEqual([registry.countAddress('10.0.0.1'), registry.countAddress('10.0.0.2')], [2, 1])
    for (const { connection } of made) connection.end()
    for (const { connection } of made) connection.end()
    assert.deepEqual([registry.countAddress('10.0.0.1'), registry.countAddress('10.0.0.2')], [0, 0])
  })

  it('a socket stays until its close, which ends a connection that was open, once', async () => {
    const { registry, ended, open } = table()
    const [told, open2] = [open({}), open({})]
    told.connection.end('told')
    let empty = false
    const whenEmpty = registry.whenEmpty().then(() => {
      empty = true
    })
    await gone(told)
    assert.deepEqual([registry.size, registry.sockets, empty], [1, 1, false])
    await gone(open2)
    open2.carrier.emit('close')
    await whenEmpty
    assert.deepEqual([registry.size, registry.sockets], [0, 0])
    assert.deepEqual(
      ended.map(({ reason }) => reason),
      ['told', 'closed'],
    )
    await registry.whenEmpty()
  })

  it('one that had ended before it came is waited for, and is nowhere else', async () => {
    const { registry, ended } = table()
    const made = makeConnection({ identity: { session: 's' }, left: (connection) => registry.left(connection) })
    made.connection.end()
    registry.add(made.carrier, made.connection)
    assert.deepEqual([registry.size, registry.sockets, registry.count('session', 's'), ended.length], [0, 1, 0, 0])
    await gone(made)
    assert.equal(registry.sockets, 0)
  })

  it('goes through them in the order in which they were numbered, and finds by number', () => {
    const { registry, open } = table()
    const [second, first] = [open({}, { number: 9002 }), open({}, { number: 9001 })]
    assert.deepEqual([...registry.values()], [first.connection, second.connection])
    assert.equal(registry.byNumber(9001), first.connection)
    first.connection.end()
    assert.equal(registry.byNumber(9001), undefined)
    assert.deepEqual([...registry.values()], [second.connection])
  })

  it('a subject by the name of a property of objects is a subject like any other', () => {
    const { registry, open } = table()
    open({ subject: '__proto__', session: 'constructor', tags: ['toString'] })
    assert.deepEqual(
      [
        registry.count('subject', '__proto__'),
        registry.count('session', 'constructor'),
        registry.count('tag', 'toString'),
      ],
      [1, 1, 1],
    )
    assert.equal(registry.count('subject', 'constructor'), 0)
  })
})
