package chaos

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	storagev1 "github.com/ringstore/ringstore/proto/storage/v1"
	"github.com/ringstore/ringstore/tests/cluster"
)

// onNode calls a storage node with the token described in docs/format/storage-grpc.md.
func onNode(ctx context.Context, address string, f func(ctx context.Context, node storagev1.StorageServiceClient) error) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	mac := hmac.New(sha256.New, []byte(cluster.JoinToken))
	mac.Write([]byte("ringstore data plane v1"))
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+hex.EncodeToString(mac.Sum(nil)))
	return f(ctx, storagev1.NewStorageServiceClient(conn))
}

// chunksOf lists the chunks of a storage node: their labels, by chunk id.
func chunksOf(ctx context.Context, address string) (map[string]*storagev1.Label, error) {
	all := map[string]*storagev1.Label{}
	err := onNode(ctx, address, func(ctx context.Context, node storagev1.StorageServiceClient) error {
		for after := ""; ; {
			page, err := node.ListChunks(ctx, &storagev1.ListChunksRequest{After: after, Limit: 1000})
			if err != nil {
				return err
			}
			for _, c := range page.GetChunks() {
				after = c.GetChunkId()
				stat, err := node.StatChunk(ctx, &storagev1.StatChunkRequest{ChunkId: after})
				if status.Code(err) == codes.NotFound { // deleted since it was listed
					continue
				}
				if err != nil {
					return err
				}
				all[after] = stat.GetInfo().GetLabel()
			}
			if len(page.GetChunks()) < 1000 {
				return nil
			}
		}
	})
	return all, err
}

// deleteChunk removes a chunk from a node.
func deleteChunk(ctx context.Context, address, id string) error {
	return onNode(ctx, address, func(ctx context.Context, node storagev1.StorageServiceClient) error {
		_, err := node.DeleteChunk(ctx, &storagev1.DeleteChunkRequest{ChunkId: id})
		return err
	})
}
