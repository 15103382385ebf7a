#!lua flags=no-writes
-- books: the counters and what waits, at one moment. A script, since a transaction is refused at the memory
-- limit even if it only reads.
--
-- KEYS due orph c
-- Answers the counters, pending decisions, awaited decisions.

return {redis.call('HGETALL', KEYS[3]), redis.call('ZCARD', KEYS[1]), redis.call('ZCARD', KEYS[2])}
