/** What load.ts uses of autocannon, which brings no types. */
declare module 'autocannon' {
  interface Request {
    method?: string;
    path?: string;
    setupRequest?(request: Request): Request;
  }
  interface Options {
    url: string;
    connections: number;
    /** Seconds. */
    duration?: number;
    /** Requests; instead of a duration. */
    amount?: number;
    /** Requests a second of all connections together; without it, as many as they are answered. */
    overallRate?: number;
    requests: Request[];
  }
  interface Histogram {
    average: number;
    p50: number;
    p97_5: number;
    p99: number;
    max: number;
  }
  interface Result {
    /** Seconds. */
    duration: number;
    requests: Histogram & { total: number };
    /** Milliseconds, of whole ones. */
    latency: Histogram;
    errors: number;
    timeouts: number;
    non2xx: number;
    '2xx': number;
  }
  export default function autocannon(options: Options): Promise<Result>;
}
