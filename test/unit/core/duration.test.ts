import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readDuration } from '../../../src/core/duration.ts'

const GOOD: ReadonlyArray<readonly [given: unknown, ms: number]> = [
  [0, 0],
  [1500, 1500],
  ['0s', 0],
  ['250ms', 250],
  ['30s', 30_000],
  ['10m', 600_000],
  ['24h', 86_400_000],
  ['90d', 7_776_000_000],
]

test('durations are milliseconds, or a whole number with its unit', () => {
  for (const [given, ms] of GOOD) assert.equal(readDuration(given), ms, String(given))
})

test('anything else is none', () => {
  const bad = ['', '30', 's', '1.5h', '-1s', ' 1s', '1s ', '1 s', '1S', '1w', '1e3s', '9999999999999s', '999999999999d']
  for (const given of [...bad, -1, 0.5, Number.NaN, Infinity, 2 ** 53, null, undefined, true, {}, ['1s'], 1n]) {
    assert.equal(readDuration(given), undefined, String(given))
  }
})
