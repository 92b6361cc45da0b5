import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { hashApiKey } from '../../../src/schemes.ts'
import { matchesPassword, parsePasswordHash } from '../../../src/schemes/scrypt.ts'
import { command } from './command.ts'

const SECRET = 'dTop5ecret'

test('--help and --version', async () => {
  const help = await command(['--help'])
  assert.deepEqual([help.code, help.stderr], [0, ''])
  for (const name of ['dial', 'demo', 'hash']) assert.match(help.stdout, new RegExp(`gate101 ${name}`))
  assert.deepEqual(await command(['dial', '--help']), help)
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'))
  assert.deepEqual(await command(['--version']), { code: 0, stdout: `${version}\n`, stderr: '' })
})

const WRONG: ReadonlyArray<readonly [args: readonly string[], complaint: RegExp]> = [
  [[], /Which command\?/],
  [['gateway'], /There is no command "gateway"/],
  [['\u001b[2J'], /There is no command "\\x1b\[2J"/],
  [['dial'], /needs a URL/],
  [['dial', 'ws://127.0.0.1:1/', SECRET], /one URL/],
  [['dial', 'ws://127.0.0.1:1/', '-H', SECRET], /'Name: value'/],
  [['dial', 'ws://127.0.0.1:1/', '-H', `: ${SECRET}`], /'Name: value'/],
  [['dial', 'ws://127.0.0.1:1/', '-H', `x y: ${SECRET}`], /'Name: value'/],
  [['dial', 'ws://127.0.0.1:1/', '-H', `Upgrade: ${SECRET}`], /The handshake itself sets the header upgrade/],
  [['dial', 'ws://127.0.0.1:1/', `--${SECRET}`], /no such option/],
  [['dial', 'ws://127.0.0.1:1/', '--send'], /lacks its value/],
  [['dial', 'ws://127.0.0.1:1/', '--timeout', 'soon'], /--timeout/],
  [['dial', 'ws://127.0.0.1:1/', '--timeout', '0'], /--timeout/],
  [['dial', `ws://x:${SECRET}@`], /URL is not valid/],
  [['demo', SECRET], /PORT/],
  [['hash', SECRET], /arguments are seen by others/],
  [['hash', '--password', SECRET], /arguments are seen by others/],
]

for (const [args, complaint] of WRONG) {
  test(`exit code 64: ${JSON.stringify(['gate101', ...args])}`, async () => {
    const { code, stdout, stderr } = await command(args)
    assert.deepEqual([code, stdout], [64, ''])
    assert.match(stderr, complaint)
    assert.doesNotMatch(stderr, new RegExp(SECRET))
  })
}

test('hash makes the text of an API key, with or without a line end', async () => {
  for (const stdin of ['test_api_key', 'test_api_key\n', 'test_api_key\r\n']) {
    assert.deepEqual(await command(['hash'], stdin), { code: 0, stdout: `${hashApiKey('test_api_key')}\n`, stderr: '' })
  }
})

test('hash --password makes the text of a password; its spaces count', async () => {
  const { code, stdout } = await command(['hash', '--password'], ' demo \n')
  const stored = parsePasswordHash(stdout.trimEnd())
  assert.ok(code === 0 && stored !== undefined, stdout)
  assert.deepEqual([await matchesPassword(' demo ', stored), await matchesPassword('demo', stored)], [true, false])
})

test('hash refuses what is no key, and more than one line, without repeating it', async () => {
  for (const [stdin, code] of [
    ['short', 1],
    ['', 1],
    [`${SECRET}\u0001`, 1],
    [`${SECRET}\n${SECRET}\n`, 64],
  ] as const) {
    const ran = await command(['hash'], stdin)
    assert.deepEqual([ran.code, ran.stdout], [code, ''])
    assert.doesNotMatch(ran.stderr, new RegExp(SECRET))
    assert.notEqual(ran.stderr, '')
  }
})
