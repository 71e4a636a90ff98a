// ServeAPI
