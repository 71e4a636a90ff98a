// ServeService
