SELECT castsource, casttarget, castfunc, castcontext = 'i' FROM pg_cast
