import assert from 'node:assert/strict'
import { test } from 'node:test'
import { check, type History, type NodeEvent, type RevocationRecord, type SocketRecord } from './faults-checker.ts'

// A checker that finds nothing is of no use: what it has to find is made up here.

const DAY = 24 * 60 * 60_000
const ann = { subject: 'ann', session: 's', credential: 'k', issuedAt: DAY }

const socket = (changed: Partial<SocketRecord> = {}): SocketRecord => ({
  node: 'b',
  who: ann,
  askedAt: 100,
  openedAt: 110,
  closedAt: 1050,
  reason: 'revoked',
  ...changed,
})

/** Until the end. */
const open = (changed: Partial<SocketRecord> = {}): SocketRecord => {
  const { closedAt: _closedAt, reason: _reason, ...rest } = socket(changed)
  return rest
}

const revocation = (changed: Partial<RevocationRecord> = {}): RevocationRecord => ({
  node: 'a',
  out: { session: 's' },
  at: DAY + 5000,
  askedAt: 1000,
  settledAt: 1040,
  holdsFrom: 1040,
  done: ['a', 'b'],
  unheard: [],
  ...changed,
})

const event = (node: string, time: number, type: NodeEvent['type'], connection?: string): NodeEvent => ({
  node,
  time,
  type,
  ...(connection === undefined ? {} : { subject: 'ann', connection }),
})

const LIVE = [event('a', 0, 'live'), event('b', 0, 'live')]

const history = (changed: Partial<History> = {}): History => ({
  sockets: [socket()],
  revocations: [revocation()],
  events: LIVE,
  until: 10_000,
  bound: 500,
  limit: 2,
  ...changed,
})

const rejected = (): RevocationRecord => {
  const { holdsFrom: _holdsFrom, done: _done, unheard: _unheard, ...rest } = revocation()
  return rest
}

const later = socket({ who: { ...ann, issuedAt: DAY + 6000 }, askedAt: 2000, openedAt: 2010, closedAt: 3000 })
const subject = revocation({ out: { subject: 'ann' } })

const GOOD: Readonly<Record<string, Partial<History>>> = {
  'closed in time': {},
  'closed within the bound': { sockets: [socket({ closedAt: 1530 })] },
  'of somebody else': { sockets: [open({ who: { subject: 'bob' } })] },
  excepted: { sockets: [open()], revocations: [revocation({ out: { subject: 'ann' }, except: 's' })] },
  'kept by a node that has never come back': {
    sockets: [open()],
    revocations: [revocation({ done: ['a'], unheard: ['b'] })],
    events: [...LIVE, event('b', 1200, 'lost')],
  },
  'closed when its node was back': {
    sockets: [socket({ closedAt: 5400 })],
    revocations: [revocation({ done: ['a'] })],
    events: [...LIVE, event('b', 900, 'lost'), event('b', 5000, 'live')],
  },
  'rejected, and not written until the end': { sockets: [open()], revocations: [rejected()] },
  'a new login that stays': { sockets: [{ ...later, reason: '1000' }], revocations: [subject] },
  'a new login that was revoked again': {
    sockets: [later],
    revocations: [
      subject,
      revocation({ out: { subject: 'ann' }, at: DAY + 9000, askedAt: 2990, settledAt: 3000, holdsFrom: 3000 }),
    ],
  },
  'two tickets': { sockets: [socket({ ticket: 'x' }), socket({ ticket: 'y' })] },
  'as many as the limit': {
    events: [
      ...LIVE,
      ...['1', '2'].map((id) => event('a', 1, 'accepted', id)),
      event('a', 2, 'ended', '1'),
      event('b', 3, 'accepted', '1'),
    ],
  },
  'those of a dead node count no more': {
    events: [
      ...LIVE,
      ...['1', '2'].map((id) => event('a', 1, 'accepted', id)),
      event('a', 2, 'dead'),
      event('b', 3, 'accepted', '1'),
    ],
  },
}

for (const [name, changed] of Object.entries(GOOD))
  test(`kept: ${name}`, () => {
    assert.deepEqual(check(history(changed)), [])
  })

const BAD: Readonly<Record<string, readonly [rule: string, Partial<History>]>> = {
  'open until the end': ['(1)', { sockets: [open()] }],
  'closed after the bound': ['(1)', { sockets: [socket({ closedAt: 1541 })] }],
  'open on the node that was asked': ['(1)', { sockets: [open({ node: 'a' })], revocations: [rejected()] }],
  'open on a node that was not named, and was not away': [
    '(1)',
    { sockets: [open()], revocations: [revocation({ done: ['a'] })] },
  ],
  'open after its node was back': [
    '(1)',
    {
      sockets: [socket({ closedAt: 5600 })],
      revocations: [revocation({ done: ['a'], unheard: ['b'] })],
      events: [...LIVE, event('b', 900, 'lost'), event('b', 5000, 'live')],
    },
  ],
  'open after the engine was back': ['(1)', { sockets: [open()], revocations: [{ ...rejected(), holdsFrom: 3000 }] }],
  'let in where it was known': ['(2)', { sockets: [socket({ askedAt: 1041, openedAt: 1045 })] }],
  'let in by credential': [
    '(2)',
    { sockets: [socket({ askedAt: 1041 })], revocations: [revocation({ out: { credential: 'k' } })] },
  ],
  'let in with what was issued before': ['(2)', { sockets: [socket({ askedAt: 1041 })], revocations: [subject] }],
  'let in by the node that was asked': [
    '(2)',
    { sockets: [socket({ node: 'a', askedAt: 1041 })], revocations: [rejected()] },
  ],
  'let in long after the engine was back': [
    '(2)',
    {
      sockets: [socket({ askedAt: 3501, openedAt: 3502, closedAt: 3500 })],
      revocations: [{ ...rejected(), holdsFrom: 3000 }],
    },
  ],
  'a ticket taken on two nodes': ['(3)', { sockets: [socket({ ticket: 'x' }), socket({ ticket: 'x', node: 'a' })] }],
  'more than the limit': [
    '(4)',
    { events: [...LIVE, ...['1', '2'].map((id) => event('a', 1, 'accepted', id)), event('b', 2, 'accepted', '1')] },
  ],
  'a new login ended': ['(5)', { sockets: [later], revocations: [subject] }],
}

for (const [name, [rule, changed]] of Object.entries(BAD))
  test(`violated: ${name}`, () => {
    const said = check(history(changed))
    assert.deepEqual(
      said.map((text) => text.slice(0, 3)),
      [rule],
    )
  })
