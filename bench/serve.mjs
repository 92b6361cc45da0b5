// One server under measurement, in its own process: `node serve.mjs NAME`. Answers `cpu` and `heap`.
const { default: start } = await import(`./servers/${process.argv[2]}.mjs`)
const server = await start()
if (!server.listening) await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))

process.on('message', (question) => {
  if (question === 'cpu') {
    const { user, system } = process.cpuUsage()
    process.send({ answer: user + system })
  }
  if (question === 'heap') {
    for (let n = 0; n < 4; n++) globalThis.gc()
    process.send({ answer: process.memoryUsage().heapUsed })
  }
})
process.on('disconnect', () => process.exit())
process.send({ answer: server.address().port })
