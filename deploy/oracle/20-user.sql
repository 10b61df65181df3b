-- Run as SYS in CDB$ROOT after the user tokenwatch was created (the container image does that
-- by APP_USER). A tablespace of its own with automatic segment space management, which vector
-- indexes need, and what TokenWatch may do.
ALTER SESSION SET CONTAINER = FREEPDB1;
CREATE BIGFILE TABLESPACE tokenwatch DATAFILE '/opt/oracle/oradata/FREE/FREEPDB1/tokenwatch.dbf'
  SIZE 256M AUTOEXTEND ON NEXT 256M MAXSIZE 8G SEGMENT SPACE MANAGEMENT AUTO;
ALTER USER tokenwatch DEFAULT TABLESPACE tokenwatch QUOTA UNLIMITED ON tokenwatch;
GRANT CREATE SESSION, CREATE TABLE, CREATE SEQUENCE, CREATE PROCEDURE, CREATE TRIGGER TO tokenwatch;
-- So that oracle_check can tell how large the vector pool is.
GRANT SELECT ON sys.v_$parameter TO tokenwatch;
EXIT
