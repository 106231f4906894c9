-- What the system must find, computed from the raw files alone: joins and windows over the whole data, where
-- the services see one event at a time. A test runs this after the system, and compares every table.
--
--   SET VARIABLE flights = 'data/flights-2013-01.csv.gz';
--   SET VARIABLE weather = 'data/weather-2013-01.csv.gz';
--   SET VARIABLE airports = 'data/airports.csv';
--   SET VARIABLE days = 0;           -- the first so many; 0 means all

SET TimeZone = 'UTC';

-- A flight's times in UTC. New York's offset follows from the row itself, the destination's from its offset in
-- winter and whether it has summer time. Flights take less than a day, so the clock times are enough.
CREATE TABLE flights AS
WITH clocks AS (
  SELECT f.*, make_date(year, month, day) AS date,
    format('{}{}/{}/{}', carrier, flight, origin, make_date(year, month, day)) AS id,
    date_diff('hour', time_hour::TIMESTAMP, make_timestamp(year, month, day, hour, 0, 0)) AS new_york,
    tz + CASE WHEN dst = 'A' AND new_york = -4 THEN 1 ELSE 0 END AS there
  FROM read_csv(getvariable('flights'), nullstr = 'NA') f
  JOIN read_csv(getvariable('airports'), nullstr = 'NA') ON faa = dest
), minutes AS (
  SELECT *, (there - new_york) * 60 AS ahead,
    dep_time // 100 * 60 + dep_time % 100 AS left_at,
    arr_time // 100 * 60 + arr_time % 100 AS reached_at,
    sched_dep_time // 100 * 60 + sched_dep_time % 100 AS to_leave_at,
    sched_arr_time // 100 * 60 + sched_arr_time % 100 AS to_reach_at
  FROM clocks
)
SELECT id AS flight, tailnum, carrier, origin, dest, date AS day, dep_delay, arr_delay, air_time,
  dep_time IS NULL AS cancelled, dep_time IS NOT NULL AND arr_delay IS NULL AS diverted,
  time_hour::TIMESTAMP + to_minutes(minute) AS scheduled,
  scheduled + to_minutes(dep_delay) AS departed,
  departed + to_minutes((reached_at - left_at - ahead + 2880) % 1440) AS landed,
  departed + to_minutes((to_reach_at - to_leave_at - ahead + 2880) % 1440) AS expected
FROM minutes
WHERE getvariable('days') = 0 OR date < DATE '2013-01-01' + getvariable('days')::INTEGER;

-- What happened, in the order of (moment, rank, flight).
CREATE TABLE happened AS
SELECT landed AS moment, 0 AS rank, * FROM flights WHERE NOT cancelled AND NOT diverted
UNION ALL SELECT expected, 1, * FROM flights WHERE diverted
UNION ALL SELECT scheduled, 2, * FROM flights WHERE cancelled
UNION ALL SELECT departed, 3, * FROM flights WHERE NOT cancelled;

CREATE TABLE closed AS
SELECT day, max(max(moment)) OVER (ORDER BY day) AS moment FROM happened GROUP BY day;

CREATE MACRO severity(late) AS
  CASE WHEN late >= 180 THEN 3 WHEN late >= 60 THEN 2 WHEN late >= 15 THEN 1 ELSE 0 END;
CREATE MACRO severity_name(level) AS ['MINOR', 'MAJOR', 'SEVERE'][level];

CREATE TABLE FlightDelayed AS
SELECT flight, carrier, origin, dest, 'DEPARTURE' AS phase, dep_delay AS late_min,
  severity_name(severity(dep_delay)) AS severity
FROM flights WHERE dep_delay >= 15
UNION ALL
SELECT flight, carrier, origin, dest, 'ARRIVAL', arr_delay, severity_name(severity(arr_delay))
FROM flights WHERE severity(arr_delay) > severity(dep_delay);

CREATE TABLE DelayRecovered AS
SELECT flight, carrier, severity_name(severity(dep_delay)) AS was,
  dep_delay AS departed_late_min, arr_delay AS arrived_late_min
FROM flights WHERE dep_delay >= 15 AND arr_delay < 15;

CREATE TABLE ConnectionMissed AS
WITH legs AS (
  SELECT *, lag(rank) OVER aircraft AS before, lag(flight) OVER aircraft AS inbound,
    lag(arr_delay) OVER aircraft AS inbound_late, lag(moment) OVER aircraft AS inbound_at,
    lag(air_time) OVER aircraft AS inbound_air
  FROM happened WHERE rank <> 2
  WINDOW aircraft AS (PARTITION BY tailnum ORDER BY moment, rank, flight)
)
SELECT tailnum, inbound, inbound_late AS inbound_late_min, flight AS outbound,
  dep_delay AS outbound_late_min, origin,
  date_diff('minute', scheduled, inbound_at + to_minutes(inbound_air + 60)) AS short_min
FROM legs
WHERE rank = 3 AND before = 0 AND inbound_late >= 15 AND dep_delay >= 15
  AND scheduled - inbound_at < INTERVAL 12 HOUR AND short_min > 0;

CREATE TABLE HourRated AS
WITH weather AS (
  SELECT origin, time_hour::TIMESTAMP AS hour, visib, precip, greatest(
    CASE WHEN wind_speed <= 200 THEN wind_speed END, CASE WHEN wind_gust <= 200 THEN wind_gust END, 0) AS wind
  FROM read_csv(getvariable('weather'), nullstr = 'NA')
  WHERE getvariable('days') = 0 OR make_date(year, month, day) < DATE '2013-01-01' + getvariable('days')::INTEGER
)
SELECT origin, hour,
  CASE WHEN visib < 0.5 OR wind >= 45 OR precip >= 0.3 THEN 'SEVERE'
    WHEN visib < 2 OR wind >= 30 OR precip >= 0.1 THEN 'ROUGH' ELSE 'CLEAR' END AS sky,
  CASE WHEN visib < 0.5 THEN 'fog' WHEN wind >= 45 THEN 'storm' WHEN precip >= 0.3 THEN 'downpour'
    WHEN visib < 2 THEN 'low visibility' WHEN wind >= 30 THEN 'strong wind' WHEN precip >= 0.1 THEN 'rain'
    ELSE '' END AS why
FROM weather;

-- Rough hours neither raise nor lift an alert, so the last hour that was not rough decides.
CREATE TEMP TABLE turns AS
WITH told AS (
  SELECT origin, hour, why, sky, lag(sky, 1, 'CLEAR') OVER (PARTITION BY origin ORDER BY hour) AS before
  FROM HourRated WHERE sky <> 'ROUGH'
)
SELECT *, lag(hour) OVER (PARTITION BY origin ORDER BY hour) AS previous FROM told WHERE sky <> before;

CREATE TABLE WeatherAlertRaised AS SELECT origin, hour AS since, why FROM turns WHERE sky = 'SEVERE';
CREATE TABLE WeatherAlertLifted AS SELECT origin, previous AS since, hour AS until FROM turns WHERE sky = 'CLEAR';

CREATE TABLE DepartureExposed AS
SELECT flight, origin, hour, sky, why, dep_delay AS late_min
FROM flights JOIN HourRated USING (origin)
WHERE date_trunc('hour', departed) = hour AND sky <> 'CLEAR';

CREATE TABLE AirportDayPublished AS
SELECT origin, day, count(*) FILTER (NOT cancelled) AS departures,
  count(*) FILTER (dep_delay < 15) AS on_time, count(*) FILTER (cancelled) AS cancelled,
  avg(greatest(dep_delay, 0)) FILTER (NOT cancelled) AS mean_late_min,
  first(flight ORDER BY dep_delay DESC, flight) FILTER (dep_delay > 0) AS worst_flight,
  max(dep_delay) FILTER (dep_delay > 0) AS worst_late_min
FROM flights GROUP BY origin, day;

CREATE TABLE CarrierDayScored AS
WITH days AS (
  SELECT carrier, day, count(*) AS flights, count(*) FILTER (arr_delay < 15) AS on_time,
    count(*) FILTER (cancelled) AS cancelled, count(*) FILTER (diverted) AS diverted
  FROM flights GROUP BY carrier, day
), standing AS (
  SELECT c.day, d.carrier, sum(d.on_time) / sum(d.flights) AS share
  FROM closed c JOIN days d ON d.day <= c.day GROUP BY c.day, d.carrier
), ranked AS (
  SELECT *, row_number() OVER (PARTITION BY day ORDER BY share DESC, carrier) AS rank FROM standing
)
SELECT carrier, day, flights, on_time, cancelled, diverted, share AS on_time_share, rank
FROM days JOIN ranked USING (carrier, day);

-- The first departure on the route after the cancellation that was scheduled later, unless the day after the
-- cancelled flight's own is over before.
CREATE TEMP TABLE stranded AS
SELECT h.*, c.moment AS given_up FROM happened h LEFT JOIN closed c ON c.day = h.day + 1 WHERE rank = 2;

CREATE TABLE PassengersRebooked AS
SELECT s.flight, first(d.flight ORDER BY d.moment, d.flight) AS onto,
  date_diff('minute', s.scheduled, min(d.moment)) AS wait_min
FROM stranded s JOIN happened d USING (carrier, origin, dest)
WHERE d.rank = 3 AND d.moment >= s.moment AND d.scheduled > s.scheduled
  AND (given_up IS NULL OR d.moment <= given_up)
GROUP BY s.flight, s.scheduled;

CREATE TABLE RebookingFailed AS
SELECT flight, dest FROM stranded ANTI JOIN PassengersRebooked USING (flight) WHERE given_up IS NOT NULL;

CREATE TABLE NoticeSent AS
SELECT flight AS about, 'PASSENGERS' AS audience, format('{} {} min late', lower(phase), late_min) AS text
FROM FlightDelayed WHERE severity <> 'MINOR'
UNION ALL
SELECT flight, 'PASSENGERS', 'arriving on time after all' FROM DelayRecovered WHERE was <> 'MINOR'
UNION ALL
SELECT outbound, 'CREW', format('{} is {} min short, in from {}', tailnum, short_min, inbound) FROM ConnectionMissed
UNION ALL
SELECT origin, 'DISPATCH', why || strftime(since, ' since %d %b %H:%MZ') FROM WeatherAlertRaised
UNION ALL
SELECT origin, 'DISPATCH', strftime(until, 'clear since %d %b %H:%MZ') FROM WeatherAlertLifted
UNION ALL
SELECT flight, 'PASSENGERS', format('you fly with {}, {} min later', onto, wait_min) FROM PassengersRebooked
UNION ALL
SELECT flight, 'PASSENGERS', format('no seat to {} within a day; your fare is returned', dest) FROM RebookingFailed;
