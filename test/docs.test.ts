import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { REFUSALS } from '../src/core/refusals.ts'

// The formatter pads the columns.
const page = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8').replaceAll(/ {2,}/g, ' ')

test('docs/errors.md has a row for every refusal, with its status, message and fix', () => {
  for (const [code, row] of Object.entries(REFUSALS)) {
    const wanted = `| \`${code}\` | ${row.status} | ${row.message} | ${row.fix.replaceAll('|', '\\|')} |`
    assert.ok(page.includes(wanted), `docs/errors.md lacks, or has changed, this row:\n${wanted}`)
  }
})

test('docs/errors.md has no row for a refusal that is gone', () => {
  const [table = ''] = page.split('## Errors that')
  const codes = [...table.matchAll(/^\| `([a-z0-9_]+)` \|/gm)].map(([, code]) => code)
  assert.deepEqual(codes.toSorted(), Object.keys(REFUSALS).toSorted())
})
