SELECT castsource, casttarget, castfunc, castcontext <> 'e' FROM pg_cast
