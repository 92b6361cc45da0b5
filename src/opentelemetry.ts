import {
  createNoopMeter,
  metrics,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Meter,
  type MeterProvider,
  type SpanOptions,
  type Tracer,
  type TracerProvider,
} from '@opentelemetry/api'
import type { Gate, RecheckedEvent, RefusedEvent, RevokedEvent } from './index.ts'
import { ENDS } from './core/end.ts'
import { REFUSALS } from './core/refusals.ts'
import { checkNames } from './gate/check-names.ts'

/** Where the data goes. */
export interface InstrumentOptions {
  /** @defaultValue the global one of `@opentelemetry/api` */
  readonly meterProvider?: MeterProvider
  /** @defaultValue the global one of `@opentelemetry/api` */
  readonly tracerProvider?: TracerProvider
}

/** What is used of a gate, whatever its framework is. */
export type Instrumented = Pick<Gate, 'on' | 'ready'> & { readonly connections: { readonly size: number } }

type Off = () => void

const SCOPE = 'gate101'

/**
 * Metrics and spans of what a gate decides; `docs/observability.md` lists them. Listens to the gate's events and nothing
 * more. Register the SDK first: where there is none, nothing is listened to. Every label is one of a closed set: no
 * identity, address or path is ever recorded.
 *
 * @returns a function that ends it.
 * @throws Gate101Error `GATE101_CONFIG` for unknown names.
 * @example
 * ```ts
 * const stop = instrument(gate)
 * ```
 */
export function instrument(gate: Instrumented, options: InstrumentOptions = {}): Off {
  checkNames('instrument()', options, ['meterProvider', 'tracerProvider'])
  const meter = (options.meterProvider ?? metrics.getMeterProvider()).getMeter(SCOPE)
  const tracer = tracerOf(options.tracerProvider ?? trace.getTracerProvider())
  const offs: Off[] = []
  if (meter !== createNoopMeter()) offs.push(...recordMetrics(gate, meter))
  if (tracer !== undefined) offs.push(...recordSpans(gate, tracer))
  return () => {
    for (const off of offs) off()
  }
}

/** The global provider is a stand-in for as long as no SDK has been registered. */
function tracerOf(provider: TracerProvider & { getDelegateTracer?: (name: string) => Tracer | undefined }) {
  return provider.getDelegateTracer === undefined ? provider.getTracer(SCOPE) : provider.getDelegateTracer(SCOPE)
}

const CODES: ReadonlySet<string> = new Set([...Object.keys(REFUSALS), 'app', 'library'])
const REASONS: ReadonlySet<string> = new Set([...Object.values(ENDS).map(({ reason }) => reason), 'ended', 'closed'])

/** An app ends connections with texts of its own: each would be a time series. */
function oneOf(known: ReadonlySet<string>, word: string): string {
  return known.has(word) ? word : 'other'
}

// Seconds.
const QUICK = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const LONG = [1, 10, 60, 300, 900, 1800, 3600, 14_400, 43_200, 86_400]

function histogram(meter: Meter, name: string, description: string, explicitBucketBoundaries: number[]) {
  return meter.createHistogram(name, { description, unit: 's', advice: { explicitBucketBoundaries } })
}

function instrumentsOf(meter: Meter) {
  const counter = (name: string, unit: string, description: string) =>
    meter.createCounter(name, { unit: `{${unit}}`, description })
  return {
    handshakes: counter('ws_auth_handshakes', 'handshake', 'Handshakes that were decided.'),
    decision: histogram(meter, 'ws_auth_duration', 'From the handshake to its decision.', QUICK),
    open: meter.createUpDownCounter('ws_connections', { unit: '{connection}', description: 'Open connections.' }),
    life: histogram(meter, 'ws_connection_duration', 'How long connections were open.', LONG),
    tickets: counter('ws_tickets', 'ticket', 'Tickets that were made, used and refused.'),
    revocations: counter('ws_revocations', 'revocation', 'Calls of gate.revoke() on this node.'),
    lag: histogram(meter, 'ws_revocation_lag', "From gate.revoke() to the last connection's end.", QUICK),
    rechecks: counter('ws_rechecks', 'recheck', 'Questions to the app about open connections.'),
    cluster: counter(
      'ws_cluster_changes',
      'change',
      'This node knows all that the cluster knows, or does not any more.',
    ),
    stale: meter.createUpDownCounter('ws_cluster_stale', {
      unit: '{node}',
      description: 'Nodes that do not know all that the cluster knows.',
    }),
    renewals: counter('ws_renewals', 'renewal', 'Connections that went on with a new identity.'),
  }
}

function recordMetrics(gate: Instrumented, meter: Meter): Off[] {
  const { handshakes, decision, open, life, tickets, revocations, lag, rechecks, renewals, ...cluster } =
    instrumentsOf(meter)
  const decided = (ms: number, outcome: string, reason?: string): void => {
    handshakes.add(1, reason === undefined ? { outcome } : { outcome, reason })
    decision.record(ms / 1000, { outcome })
  }
  let counted = 0
  // Not observed when it is asked for: of two gates that share an instrument, only one would be seen.
  const opened = (change: number): void => {
    counted += change
    open.add(change)
  }
  opened(gate.connections.size)
  return [
    gate.on('accepted', ({ ms }) => {
      opened(1)
      decided(ms, 'accepted')
    }),
    gate.on('refused', ({ request, ms, code }) => {
      if (request === 'handshake') decided(ms, 'refused', oneOf(CODES, code))
    }),
    gate.on('aborted', ({ ms }) => decided(ms, 'aborted')),
    gate.on('ended', ({ ms, reason }) => {
      opened(-1)
      life.record(ms / 1000, { close: oneOf(REASONS, reason) })
    }),
    gate.on('ticket', ({ outcome }) => tickets.add(1, { event: outcome })),
    gate.on('revoked', ({ by, ms, remote }) => {
      if (!remote) revocations.add(1, { scope: by })
      lag.record(ms / 1000)
    }),
    gate.on('rechecked', ({ outcome, why }) => rechecks.add(1, { outcome, why })),
    gate.on('renewed', ({ by }) => renewals.add(1, { by })),
    () => opened(-counted),
    ...recordCluster(gate, cluster),
  ]
}

function recordCluster(
  gate: Instrumented,
  { cluster, stale }: Pick<ReturnType<typeof instrumentsOf>, 'cluster' | 'stale'>,
): Off[] {
  let counted = 0
  const isStale = (is: number): void => {
    if (is !== counted) stale.add(is - counted)
    counted = is
  }
  // What it has lost before this was called it has said to nobody.
  if (!gate.ready) isStale(1)
  return [
    gate.on('cluster', ({ outcome, why }) => {
      cluster.add(1, why === undefined ? { outcome } : { outcome, why })
      if (outcome !== 'forged') isStale(outcome === 'lost' ? 1 : 0)
    }),
    () => isStale(0),
  ]
}

function recordSpans(gate: Instrumented, tracer: Tracer): Off[] {
  const write = (
    name: string,
    { time, ms }: { time: Date; ms: number },
    options: SpanOptions,
    failed = false,
  ): void => {
    // A Date, because a small number would be taken for one of performance.now().
    const span = tracer.startSpan(name, { ...options, startTime: new Date(time.getTime() - ms) })
    if (failed) span.setStatus({ code: SpanStatusCode.ERROR })
    span.end(time)
  }
  // What is active when the verdict falls began after the handshake, or has nothing to do with it.
  const handshake = (event: { time: Date; ms: number }, attributes: Attributes, failed = false): void =>
    write('websocket handshake', event, { kind: SpanKind.SERVER, root: true, attributes }, failed)
  return [
    gate.on('accepted', (event) => handshake(event, { outcome: 'accepted', 'http.response.status_code': 101 })),
    gate.on('refused', (event) => {
      if (event.request === 'handshake') handshake(event, refusedAttributes(event), event.status >= 500)
    }),
    gate.on('aborted', (event) => handshake(event, { outcome: 'aborted' })),
    gate.on('rechecked', (event) => {
      const attributes = recheckedAttributes(event)
      write('websocket re-check', event, { root: true, attributes }, event.outcome === 'error')
    }),
    // Part of the request that logs somebody out.
    gate.on('revoked', (event) => write('websocket revocation', event, { attributes: revokedAttributes(event) })),
  ]
}

function refusedAttributes({ code, status }: RefusedEvent): Attributes {
  return { outcome: 'refused', reason: oneOf(CODES, code), 'http.response.status_code': status }
}

function recheckedAttributes({ outcome, why, connections }: RecheckedEvent): Attributes {
  return { outcome, why, connections }
}

function revokedAttributes({ by, matched, closed }: RevokedEvent): Attributes {
  return { scope: by, matched, closed }
}
