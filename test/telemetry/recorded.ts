import type { Attributes } from '@opentelemetry/api'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
  type MetricData,
} from '@opentelemetry/sdk-metrics'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace-base'

/** The real SDK, which keeps what it would export. */
export interface Sdk extends AsyncDisposable {
  readonly providers: { readonly meterProvider: MeterProvider; readonly tracerProvider: BasicTracerProvider }
  /** All metrics as they are now. */
  metrics(): Promise<MetricData[]>
  /** The numbers of all metrics as they are now: `name{label=value,…}` → value, and of histograms [count, sum]. */
  numbers(): Promise<Record<string, number | [count: number, sum: number]>>
  spans(): ReadableSpan[]
}

export function createSdk(): Sdk {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 2 ** 30 })
  const meterProvider = new MeterProvider({ readers: [reader] })
  const spanExporter = new InMemorySpanExporter()
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spanExporter)] })
  const metrics = async (): Promise<MetricData[]> => {
    exporter.reset()
    await meterProvider.forceFlush()
    return exporter.getMetrics().flatMap((one) => one.scopeMetrics.flatMap((scope) => scope.metrics))
  }
  return {
    providers: { meterProvider, tracerProvider },
    metrics,
    numbers: async () => Object.fromEntries((await metrics()).flatMap(numbersOf)),
    spans: () => spanExporter.getFinishedSpans(),
    async [Symbol.asyncDispose]() {
      await meterProvider.shutdown()
      await tracerProvider.shutdown()
    },
  }
}

function numbersOf({ descriptor, dataPoints }: MetricData): Array<[string, number | [number, number]]> {
  return dataPoints.map(({ attributes, value }) => [
    `${descriptor.name}${shown(attributes)}`,
    typeof value === 'number' ? value : [value.count, 'sum' in value ? (value.sum ?? 0) : 0],
  ])
}

function shown(attributes: Attributes): string {
  const labels = Object.entries(attributes).map(([name, value]) => `${name}=${String(value)}`)
  return labels.length === 0 ? '' : `{${labels.join(',')}}`
}
