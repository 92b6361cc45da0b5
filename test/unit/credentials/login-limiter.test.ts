import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { addressKey } from '../../../src/credentials/address.ts'
import {
  loginLimiter,
  type Admitted,
  type LoginLimiter,
  type LoginLimiterOptions,
} from '../../../src/credentials/login-limiter.ts'
import { HeldClock } from './helpers.ts'

const HOME = '192.0.2.1'
const MINUTE = 60_000

interface Made {
  readonly clock: HeldClock
  readonly limiter: LoginLimiter
  admit(account?: string, address?: string): Admitted
  fail(account?: string, address?: string): void
}

function make(options: LoginLimiterOptions = {}): Made {
  const clock = new HeldClock()
  const limiter = loginLimiter({ clock, ...options })
  const admit = (account = 'alice', address: string | undefined = HOME): Admitted =>
    limiter.admit(account, address) as Admitted
  return {
    clock,
    limiter,
    admit,
    fail(account = 'alice', address = HOME) {
      assert.equal(admit(account, address).type, 'go')
      void limiter.failed(account, address)
    },
  }
}

const times = (count: number, call: (n: number) => void): void =>
  Array.from({ length: count }).forEach((_, n) => call(n))
const retryAfterOf = (admitted: Admitted): number => (admitted.type === 'refuse' ? admitted.retryAfter : 0)

test('the fifth wrong password blocks the pair, for longer each time', () => {
  const { clock, admit, fail } = make()
  times(5, () => fail())
  for (const seconds of [30, 60, 120, 240, 480]) {
    assert.equal(retryAfterOf(admit()), seconds)
    clock.pass(seconds * 1000 - 1)
    assert.equal(retryAfterOf(admit()), 1)
    clock.pass(1)
    fail()
  }
})

test('no block is longer than 15 minutes, and none is shorter than the one before', () => {
  const { clock, limiter, admit } = make()
  const blocks: number[] = []
  times(60, () => {
    const seconds = retryAfterOf(admit())
    if (seconds === 0) void limiter.failed('alice', HOME)
    else blocks.push(seconds)
    clock.pass(seconds * 1000)
  })
  assert.deepEqual(blocks.slice(0, 9), [30, 60, 120, 240, 480, 900, 900, 900, 900])
})

test('a block is forgotten when the window has passed after it', () => {
  const { clock, admit, fail } = make()
  times(5, () => fail())
  clock.pass(30_000 + 15 * MINUTE)
  times(5, () => fail())
  assert.equal(retryAfterOf(admit()), 30)
})

test('a block ends for nobody else: other accounts and other addresses go on', () => {
  const { admit, fail } = make()
  times(5, () => fail())
  assert.equal(admit().type, 'refuse')
  assert.equal(admit('bob').type, 'go')
  assert.equal(admit('alice', '192.0.2.2').type, 'go')
})

test('old failures do not count', () => {
  const { clock, admit, fail } = make()
  times(4, () => fail())
  clock.pass(15 * MINUTE)
  times(4, () => fail())
  assert.equal(admit().type, 'go')
})

test('the right password begins anew', () => {
  const { limiter, admit, fail } = make()
  times(4, () => fail())
  admit()
  void limiter.passed('alice', HOME)
  times(4, () => fail())
  assert.equal(admit().type, 'go')
})

test('100 guesses at the same time: five go through', () => {
  const { limiter, clock, admit } = make()
  const admitted = Array.from({ length: 100 }, () => admit())
  assert.equal(admitted.filter(({ type }) => type === 'go').length, 5)
  assert.equal(retryAfterOf(admitted[99] ?? admit()), 1)
  times(5, () => void limiter.failed('alice', HOME))
  assert.equal(retryAfterOf(admit()), 30)
  clock.pass(30_000)
  assert.equal(Array.from({ length: 100 }, () => admit()).filter(({ type }) => type === 'go').length, 1)
})

test('what was never tried does not count', () => {
  const { limiter, admit } = make()
  times(50, () => {
    assert.equal(admit().type, 'go')
    void limiter.dropped('alice', HOME)
  })
  times(5, () => assert.equal(admit().type, 'go'))
  assert.equal(admit().type, 'refuse')
})

test('what is never settled counts as failed, and not for ever', () => {
  const { clock, admit } = make()
  times(5, () => admit())
  assert.equal(admit().type, 'refuse')
  clock.pass(15 * MINUTE)
  assert.equal(admit().type, 'go')
})

test('a failure that was not admitted before counts all the same', () => {
  const { limiter, admit } = make()
  times(5, () => void limiter.failed('alice', HOME))
  assert.equal(admit().type, 'refuse')
})

test('from many addresses an account is slowed down and never blocked', () => {
  const { admit, fail } = make()
  const delays = Array.from({ length: 40 }, (_, n) => {
    const admitted = admit('alice', `198.51.100.${n}`)
    assert.equal(admitted.type, 'go')
    return admitted.delay
  })
  assert.deepEqual(delays.slice(0, 11), [0, 0, 0, 0, 0, 125, 250, 500, 1000, 2000, 2000])
  assert.equal(Math.max(...delays), 2000)
  fail('bob', '198.51.100.1')
  assert.deepEqual(admit('bob', '203.0.113.1'), { type: 'go', delay: 0 })
})

test('who knows the password does not undo what others have guessed', () => {
  const { limiter, admit, fail } = make()
  times(10, (n) => fail('alice', `198.51.100.${n}`))
  admit()
  void limiter.passed('alice', HOME)
  assert.deepEqual(admit(), { type: 'go', delay: 2000 })
})

test('an account is slowed down whatever the number of failures is', () => {
  const { admit, fail } = make({ failures: 100 })
  times(110, (n) => fail('alice', `198.51.100.${n}`))
  assert.deepEqual(admit(), { type: 'go', delay: 2000 })
})

test('an address that cannot be believed blocks nobody', () => {
  const { limiter } = make()
  times(30, () => void limiter.failed('alice', undefined))
  assert.deepEqual(limiter.admit('alice', undefined), { type: 'go', delay: 2000 })
  assert.equal((limiter.admit('alice', HOME) as Admitted).type, 'go')
})

test('one account in many spellings is one account', () => {
  for (const spellings of [
    ['alice', 'Alice', 'ALICE', ' alice', 'alice '],
    ['zoe\u0308', 'zo\u00eb', 'ZO\u00cb', 'zo\u00eb\u00a0', '\uff5ao\u00eb'],
  ]) {
    const { admit, fail } = make()
    for (const spelling of spellings) fail(spelling)
    assert.equal(admit(spellings[0]).type, 'refuse')
  }
})

test('IPv6 counts by /64, in every spelling; a key of the gate stays one', () => {
  const { admit, fail } = make()
  for (const address of [
    '2001:db8::1',
    '2001:DB8:0:0:ffff::',
    '2001:db8:0::7:1',
    '2001:db8:0:0::/64',
    '2001:db8::9%eth0',
  ])
    fail('alice', address)
  assert.equal(admit('alice', '2001:db8::2').type, 'refuse')
  assert.equal(admit('alice', '2001:db8:0:1::2').type, 'go')
  assert.equal(addressKey('::ffff:192.0.2.1'), '192.0.2.1')
  assert.equal(addressKey('::1'), '0:0:0:0::/64')
  assert.equal(addressKey(''), '')
  assert.equal(addressKey('no:address'), 'no:address')
})

test('memory is bounded, and a flood of others does not lift a block', () => {
  const { clock, admit, fail } = make({ entries: 100 })
  times(5, () => fail())
  times(4, () => fail('bob'))
  times(5000, (n) => fail(`user ${n}`))
  times(4, () => fail('bob'))
  assert.equal(admit().type, 'refuse')
  assert.equal(admit('user 4999').type, 'go')
  clock.pass(30_000)
  assert.equal(admit().type, 'go')
})

test('blocks that are over are forgotten before what still counts', () => {
  const { clock, admit, fail } = make({ entries: 4 })
  for (const name of ['alice', 'bob']) times(5, () => fail(name))
  clock.pass(30_000)
  times(4, () => fail('carol'))
  for (const name of ['dan', 'eve', 'frank']) fail(name)
  fail('carol')
  assert.equal(admit('carol').type, 'refuse')
})

test('where all are blocked the oldest block goes', () => {
  const { admit, fail } = make({ entries: 10 })
  times(12, (n) => times(5, () => fail(`user ${n}`)))
  assert.equal(admit('user 11').type, 'refuse')
  assert.equal(admit('user 0').type, 'go')
})

test('a limiter shows no account', () => {
  const { limiter, fail } = make()
  times(5, () => fail('alice@example.com'))
  assert.ok(!inspect(limiter, { showHidden: true, depth: null }).includes('alice'))
  assert.ok(!JSON.stringify(limiter).includes('alice'))
})

test('the options', () => {
  loginLimiter()
  loginLimiter({})
  const wrong: unknown[] = [
    null,
    7,
    { failures: 0 },
    { failures: 1.5 },
    { window: '1m' },
    { tries: 3 },
    { clock: {} },
    { block: Infinity },
  ]
  for (const options of wrong) {
    assert.throws(() => loginLimiter(options as LoginLimiterOptions), { code: 'GATE101_CONFIG' }, inspect(options))
  }
  const { admit, fail } = make({ failures: 2, block: 1000 })
  times(2, () => fail())
  assert.deepEqual(admit(), { type: 'refuse', retryAfter: 1 })
})

test('spellings that a database may take for the same account are one', () => {
  const { admit, fail } = make()
  for (const spelt of ['alice', 'ALICE', 'al\u200bice', 'ali\u0301ce', ' alice\u0000']) fail(spelt)
  assert.equal(admit().type, 'refuse')
})

test('without an address, guesses at an account that has failed often are made one after the other', () => {
  const { limiter } = make()
  times(5, () => {
    assert.equal((limiter.admit('alice', undefined) as Admitted).type, 'go')
    void limiter.failed('alice', undefined)
  })
  assert.equal((limiter.admit('alice', undefined) as Admitted).type, 'go')
  assert.equal((limiter.admit('alice', undefined) as Admitted).type, 'refuse')
  void limiter.failed('alice', undefined)
  assert.equal((limiter.admit('alice', undefined) as Admitted).type, 'go')
})
