import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { makeCertificate } from '../../support/certs.ts'
import { findCurl, findGo, findOpenssl, findPython, skipWithout } from '../../support/debian.ts'

for (const [name, find] of Object.entries({ findCurl, findGo, findOpenssl, findPython })) {
  test(`${name} finds a program that runs, or says what to install`, () => {
    const found = find()
    if ('missing' in found) assert.match(found.missing, /Debian package: /)
    else assert.match(found.version, /\d/)
  })
}

test('skipWithout gives the reason, or false', () => {
  assert.equal(skipWithout({ missing: 'no x here (a test of this message)' }), 'no x here (a test of this message)')
  assert.equal(skipWithout({ path: 'x', version: '1', env: {} }), false)
})

const openssl = findOpenssl()

test('a certificate is its own authority and names localhost', { skip: skipWithout(openssl) }, () => {
  const certificate = new X509Certificate(makeCertificate('client').cert)
  assert.equal(certificate.subject, 'CN=client')
  assert.equal(certificate.checkHost('localhost'), 'localhost')
  assert.equal(certificate.checkIP('127.0.0.1'), '127.0.0.1')
  assert.ok(certificate.verify(certificate.publicKey))
})
