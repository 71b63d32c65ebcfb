package cwlogs

import "github.com/trefoil-o11y/trefoil/internal/awsapi"

func (s *Server) operations() map[string]awsapi.Operation { return map[string]awsapi.Operation{} }
