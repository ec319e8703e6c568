// node --import: what the process takes for the time is off by CLOCK_SKEW_MS, as on a machine whose clock is wrong.
// SIGUSR2 sets it ahead by an hour.
let skewMs = Number(process.env.CLOCK_SKEW_MS ?? 0)
process.on('SIGUSR2', () => (skewMs += 3_600_000))
const RightDate = Date

const now = () => RightDate.now() + skewMs

class SkewedDate extends RightDate {
  constructor(...parameters) {
    super(...(parameters.length > 0 ? parameters : [now()]))
  }

  static now = now
}

// Called as a function, Date tells the time as text, which a class cannot.
globalThis.Date = new Proxy(SkewedDate, { apply: () => new SkewedDate().toString() })
