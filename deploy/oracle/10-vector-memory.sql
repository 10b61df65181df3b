-- Run as SYS in CDB$ROOT. Memory for in-memory vector indexes (HNSW); it is taken from the SGA
-- and is there after a restart of the database.
ALTER SYSTEM SET vector_memory_size = 512M SCOPE = SPFILE;
SHUTDOWN IMMEDIATE
STARTUP
ALTER PLUGGABLE DATABASE ALL OPEN;
EXIT
