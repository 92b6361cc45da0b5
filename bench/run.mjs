// `npm run bench [-- --groups handshake,refused] [--rounds 9] [--markdown]`: measures, and prints the table.
import { execFileSync, fork, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const here = fileURLToPath(new URL('.', import.meta.url))
if (!existsSync(`${here}node_modules`)) execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: here, stdio: 'inherit' })
if (!existsSync(`${here}../dist/index.js`)) execFileSync('npm', ['run', 'build'], { cwd: `${here}..`, stdio: 'inherit' })
const { echoes, openConnections, requests } = await import('./load.mjs')
const { MEMORY, MEMORY_JOB, ROWS } = await import('./rows.mjs')

const { values: options } = parseArgs({
  options: {
    groups: { type: 'string', default: 'handshake,refused,messages,memory,peers' },
    rounds: { type: 'string', default: '9' },
    readme: { type: 'boolean', default: false },
  },
})
const groups = options.groups.split(',')
const rounds = Number(options.rounds)
const WARM_UP = 500
const UNITS = 1500
const PINNED = spawnSync('taskset', ['--version']).status === 0
if (PINNED) spawnSync('taskset', ['-cp', '1', String(process.pid)])

async function startServer(name) {
  const pin = PINNED ? ['taskset', ['-c', '0', process.execPath]] : [process.execPath, []]
  const child = fork(`${here}serve.mjs`, [name], { execPath: pin[0], execArgv: [...pin[1], '--expose-gc'] })
  child.once('exit', (code) => {
    if (!code) return // stopped by us
    console.error(`${name} ended with ${code}`)
    process.exit(1)
  })
  const port = await answerOf(child)
  return { port, ask: (question) => (child.send(question), answerOf(child)), stop: () => child.kill('SIGKILL') }
}

function answerOf(child) {
  return new Promise((resolve) => {
    child.once('message', ({ answer }) => resolve(answer))
  })
}

async function work(port, job, count) {
  if (job.echo === undefined) return requests(port, job, count)
  const sockets = await openConnections(port, job, 16)
  await echoes(sockets, job.echo, count)
  for (const socket of sockets) socket.resetAndDestroy()
}

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1]

/** CPU of the server in us for each unit, from one visit. */
async function visit(server, job) {
  await work(server.port, job, WARM_UP)
  const before = await server.ask('cpu')
  await work(server.port, job, UNITS)
  return ((await server.ask('cpu')) - before) / UNITS
}

/** Every job of the rows, and the control twice, visited in a new order each round. */
async function measure(rows) {
  const visits = new Map()
  const keyOf = ({ server, job }) => `${server} ${JSON.stringify(job)}`
  for (const part of rows.flatMap((row) => [...row.of, ...row.over])) visits.set(keyOf(part), { part, samples: [] })
  for (const row of rows) {
    const [first] = row.over
    const again = first.server === 'ws' ? 'ws-again' : undefined
    if (again !== undefined) visits.set(keyOf({ server: again, job: first.job }), { part: { server: again, job: first.job }, samples: [] })
  }
  const servers = new Map()
  for (const { part } of visits.values()) {
    if (!servers.has(part.server)) servers.set(part.server, await startServer(part.server))
  }
  for (let round = 0; round <= rounds; round++) {
    for (const { part, samples } of [...visits.values()].toSorted(() => Math.random() - 0.5)) {
      const cost = await visit(servers.get(part.server), part.job)
      if (round > 0) samples.push(cost) // the first round only warms up
    }
    process.stderr.write(`round ${round} of ${rounds}\n`)
  }
  for (const server of servers.values()) server.stop()
  return (part) => visits.get(keyOf(part)).samples
}

function ratios(samplesOf, of, over) {
  const sum = (parts, round) => parts.reduce((total, part) => total + samplesOf(part)[round], 0)
  return Array.from({ length: rounds }, (_, round) => sum(of, round) / sum(over, round))
}

function verdict(value, goal, noise) {
  if (goal === undefined) return ''
  if (value <= goal) return 'met'
  return value <= goal + noise ? 'met within noise' : 'over'
}

async function table(rows) {
  const samplesOf = await measure(rows)
  const cost = (parts) => parts.reduce((total, part) => total + median(samplesOf(part)), 0).toFixed(0)
  return rows.map((row) => {
    const value = median(ratios(samplesOf, row.of, row.over))
    const [control] = row.over
    const same = control.server === 'ws' ? median(ratios(samplesOf, [{ server: 'ws-again', job: control.job }], [control])) : undefined
    const noise = same === undefined ? 0.05 : Math.abs(same - 1)
    return [row.name, row.goal === undefined ? '' : `<= ${row.goal.toFixed(2)}`, value.toFixed(2), `${cost(row.of)} / ${cost(row.over)}`, same?.toFixed(2) ?? '', verdict(value, row.goal, noise)]
  })
}

async function heapOf(name) {
  const server = await startServer(name)
  const sockets = await openConnections(server.port, MEMORY_JOB, 500)
  const before = await server.ask('heap')
  sockets.push(...(await openConnections(server.port, MEMORY_JOB, 4000)))
  const heap = ((await server.ask('heap')) - before) / 4000
  for (const socket of sockets) socket.resetAndDestroy()
  server.stop()
  return heap
}

async function memoryTable() {
  const rows = []
  for (const row of MEMORY) {
    const mine = median([await heapOf(row.of), await heapOf(row.of), await heapOf(row.of)])
    const theirs = median([await heapOf(row.over), await heapOf(row.over), await heapOf(row.over)])
    const more = mine - theirs
    rows.push([row.name, `<= +${row.goal} B`, `+${more.toFixed(0)} B`, `${mine.toFixed(0)} / ${theirs.toFixed(0)} B`, '', verdict(more, row.goal, 0)])
  }
  return rows
}

const line = (cells) => `| ${cells.join(' | ')} |`
const out = []
const head = ['what', 'goal', 'measured', 'CPU us, this / control', 'control / itself', 'verdict']
const main = ROWS.filter((row) => row.group !== 'peers' && groups.includes(row.group))
const rows = main.length > 0 ? await table(main) : []
if (groups.includes('memory')) rows.push(...(await memoryTable()))
if (rows.length > 0) out.push(line(head), line(head.map(() => '---')), ...rows.map(line))
if (groups.includes('peers')) {
  const peers = await table(ROWS.filter((row) => row.group === 'peers'))
  out.push('', line(['accepted handshake with the same API key', 'over raw `ws`', 'CPU us, this / control']), line(['---', '---', '---']))
  out.push(...peers.map(([name, , value, cpu]) => line([name, value, cpu])))
}
out.push('', `Node ${process.version}, ${rounds} rounds${PINNED ? ', server and load pinned to a CPU each' : ''}.`)
console.log(out.join('\n'))

if (options.readme) {
  const path = `${here}../README.md`
  const text = readFileSync(path, 'utf8')
  writeFileSync(path, text.replace(/<!-- bench -->[\s\S]*<!-- \/bench -->/, `<!-- bench -->\n\n${out.join('\n')}\n\n<!-- /bench -->`))
}
