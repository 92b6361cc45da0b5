// Rows of data as a table: Markdown, or aligned for a terminal.
import { PEER_NOTES } from './rows.mjs'

const HEAD = ['what', 'goal', 'measured', 'A/A', 'verdict', 'this / control']
const PEER_HEAD = [
  'the same API key on',
  'accepted',
  'refused',
  'echo of 32 B',
  'echoes/s',
  'heap of an idle connection',
]

const signed = (value, digits) => `${value < 0 ? '-' : '+'}${Math.abs(value).toFixed(digits)}`
const whole = (value) => Math.round(value).toLocaleString('en-GB')
const FORMATS = {
  ratio: {
    goal: (goal) => (goal === 1 ? '1.00 within A/A' : `<= ${goal.toFixed(2)}`),
    value: ({ ratio }) => withSpread(ratio),
    self: (self) => withSpread(self),
  },
  count: { goal: (goal) => `${goal}`, value: ({ value }) => `${value}`, self: () => '' },
  calls: { goal: () => '+0', value: ({ value }) => signed(value, 2), self: (self) => signed(self, 2) },
  bytes: {
    goal: (goal) => `<= +${goal} B`,
    value: ({ value }) => `${signed(value, 0)} B`,
    self: (self) => `${signed(self, 0)} B`,
  },
  latency: {
    goal: (goal) => `p99 <= ${goal} ms`,
    value: ({ latency }) => latencies(latency.of),
    self: (self) => withSpread(self),
  },
  stall: {
    goal: (goal) => `<= ${goal} ms`,
    value: ({ stall }) => stalls(stall.of),
    self: () => '',
  },
  each: {
    goal: (goal, { measure }) => `<= ${goal} ${measure}`.trim(),
    value: ({ value, measure }) => amount(value, measure),
    self: (self) => withSpread(self),
  },
}

const latencies = ({ p50, p99, max }) => `p50 ${p50.toFixed(2)}, p99 ${p99.toFixed(2)}, max ${max.toFixed(1)} ms`
const stalls = ({ median, worst }) => `${median.toFixed(0)} ms, worst ${worst.toFixed(0)} ms`
const amount = (value, measure) => `${measure === 'µs' ? value.toFixed(2) : whole(value)} ${measure}`.trim()

function withSpread({ median, low, high }) {
  return `${median.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`
}

function cells(row) {
  const format = FORMATS[row.unit]
  return [
    row.name,
    row.goal === undefined ? '' : format.goal(row.goal, row),
    format.value(row),
    row.self === undefined ? '' : format.self(row.self),
    row.verdict,
    costs(row),
  ]
}

function costs({ cost, perSecond, latency, stall, over, measure }) {
  if (latency !== undefined)
    return `${(latency.of.p50 / latency.over.p50).toFixed(2)}x; control: ${latencies(latency.over)}`
  if (stall !== undefined) return `control: ${stalls(stall.over)}`
  if (over !== undefined)
    return over.map(({ way, value, ratio }) => `${ratio.toFixed(2)}x ${way} (${amount(value, measure)})`).join(', ')
  if (cost === undefined) return ''
  const digits = { us: cost.over < 20 ? 1 : 0, calls: 2, B: 0, ms: 0 }[cost.unit]
  const text = `${cost.of.toFixed(digits)} / ${cost.over.toFixed(digits)} ${cost.unit === 'us' ? 'µs' : cost.unit}`
  return perSecond === undefined ? text : `${text}, ${whole(perSecond.of)} / ${whole(perSecond.over)} per s`
}

function peerCells({ name, accepted, refused, echo, memory }) {
  const cost = ({ ratio, us }) => `${ratio.toFixed(2)} (${us.toFixed(us < 20 ? 1 : 0)} µs)`
  return [
    name,
    cost(accepted),
    cost(refused),
    cost(echo),
    whole(echo.perSecond),
    `${signed(memory.over, 0)} B (${whole(memory.heap)} B)`,
  ]
}

function tables({ rows, peers }) {
  const result = []
  if (rows.length > 0) result.push([HEAD, ...rows.map(cells)])
  if (peers.length > 0) result.push([PEER_HEAD, ...peers.map(peerCells)])
  return result
}

const notes = ({ peers }, footer) => [
  ...(peers.length > 0 ? ['Ratios are to the first line.', ...PEER_NOTES] : []),
  ...footer,
]

export function asMarkdown(results, footer) {
  const line = (row) => `| ${row.join(' | ')} |`
  const drawn = tables(results).map(([head, ...rows]) =>
    [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n'),
  )
  return [...drawn, notes(results, footer).join('\\\n')].join('\n\n')
}

export function asText(results, footer) {
  const drawn = tables(results).map((rows) => {
    const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
    return rows
      .map((row) =>
        row
          .map((cell, column) => cell.padEnd(widths[column]))
          .join('  ')
          .trimEnd(),
      )
      .join('\n')
  })
  return [...drawn, notes(results, footer).join('\n')].join('\n\n')
}
